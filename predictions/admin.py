import io

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from mlmodels.admin import ReadOnlyAdmin
from mlmodels.ml.preprocessing import decode_photo
from predictions.models import Photo, Prediction

THUMBNAIL_SIDE = 240


@admin.register(Photo)
class PhotoAdmin(ReadOnlyAdmin):
    list_display = ("picture", "label", "label_source", "split", "origin", "created_at")
    list_filter = ("split", "label_source", "label")
    search_fields = ("sha256", "origin")
    list_per_page = 25

    @admin.display(description="photo")
    def picture(self, photo: Photo) -> str:
        url = reverse("admin:predictions_photo_thumbnail", args=[photo.pk])
        return format_html('<img src="{}" alt="{}" height="100" loading="lazy">', url, photo)

    def get_urls(self) -> list[URLPattern]:
        thumbnail = path(
            "<int:photo_id>/thumbnail",
            self.admin_site.admin_view(self.thumbnail),
            name="predictions_photo_thumbnail",
        )
        return [thumbnail, *super().get_urls()]

    def thumbnail(self, request: HttpRequest, photo_id: int) -> HttpResponse:
        """A small JPEG made anew from the pixels: a user's bytes never reach Bob's browser."""
        if not self.has_view_permission(request):
            raise Http404
        try:
            photo = Photo.objects.get(pk=photo_id)
            data = photo.file.read()
        except (Photo.DoesNotExist, FileNotFoundError) as error:
            raise Http404(f"Photo {photo_id} is not here.") from error
        image = decode_photo(data)
        image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=80)
        headers = {"Cache-Control": "private, max-age=86400"}
        return HttpResponse(jpeg.getvalue(), content_type="image/jpeg", headers=headers)


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "file", "status", "error_code", "best", "reused", "created_at")
    list_filter = ("status", "error_code", "reused")
    search_fields = ("file", "sha256")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        related = ("user", "inference__model_version")
        return super().get_queryset(request).select_related(*related)

    @admin.display(description="answer")
    def best(self, prediction: Prediction) -> str:
        if prediction.inference is None:
            return ""
        species, score = prediction.inference.best(1)[0]
        return f"{species} {score:.2f} %"
