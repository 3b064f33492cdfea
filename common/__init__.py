"""What several apps use: the broker, Valkey, files, pieces of APIs and of admin pages."""
