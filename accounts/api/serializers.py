from rest_framework import serializers

from accounts.models import MAX_TOKEN_NAME


class LoginSerializer(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=128, trim_whitespace=False)
    name = serializers.CharField(
        max_length=MAX_TOKEN_NAME,
        required=False,
        allow_blank=True,
        help_text="What you will know the token by, in the list of your tokens.",
    )


class TokenSerializer(serializers.Serializer):
    token = serializers.CharField()
    expiry = serializers.DateTimeField()


class UserSerializer(serializers.Serializer):
    username = serializers.CharField()
    is_admin = serializers.BooleanField()
