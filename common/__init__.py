"""Code shared by the apps: the broker, Valkey, files, and parts of APIs and admin pages."""
