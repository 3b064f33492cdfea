"""Django settings, read from the environment and from `.env` beside manage.py.

Every setting has a default that works on one's own machine. `manage.py check --deploy` lists what
to change before others can reach the service (`accounts/checks.py` adds ChampiPy's checks to
Django's). docs/operations.md describes the settings that an administrator may set.
"""

import secrets
from datetime import timedelta
from importlib import metadata
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from champipy_site.process_secrets import unneeded_secrets
from champipy_site.version import VERSION
from common.logs import alert_secrets, url_secrets
from common.storage.url import storages_of

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")

CHAMPIPY_HOME = Path(env.str("CHAMPIPY_HOME", default=str(BASE_DIR / "var"))).resolve()


def home_secret_key() -> str:
    """Return the secret key of this installation; make it in CHAMPIPY_HOME at the first use."""
    path = CHAMPIPY_HOME / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        CHAMPIPY_HOME.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"secret_key.{secrets.token_hex(4)}")
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_urlsafe(50))
        try:
            path.hardlink_to(temporary)  # the first of several processes wins; all read its key
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        return path.read_text().strip()


def require_extra(package: str, setting: str, requirements: str) -> None:
    """Raise ImproperlyConfigured if a setting needs a package that is not installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise ImproperlyConfigured(
            f"{setting} is set, but {package} is not installed. ./champipy installs it; else run: "
            f"pip install --require-hashes -r {requirements}"
        ) from error


# --- Django -------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
CHAMPIPY_PROCESS = env.str("CHAMPIPY_PROCESS", default="")  # which of them this is: web, fetch, …
CHAMPIPY_UNNEEDED_SECRETS = [
    name for name in sorted(unneeded_secrets(CHAMPIPY_PROCESS)) if env.str(name, default="")
]  # given nevertheless: `check --deploy` names them
# Where no key is needed, there is none, and Django refuses to use it.
SECRET_KEY = ""
if "SECRET_KEY" not in unneeded_secrets(CHAMPIPY_PROCESS):
    SECRET_KEY = env.str("SECRET_KEY", default="") or home_secret_key()
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])  # former ones, for a while
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
USE_HTTPS = env.bool("USE_HTTPS", default=False)  # behind a proxy that terminates TLS
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)  # how many proxies set X-Forwarded-For
# Behind a proxy all connections come from its address, and only all together are limited.
CHAMPIPY_CONNECTIONS_PER_ADDRESS = env.int(
    "CHAMPIPY_CONNECTIONS_PER_ADDRESS", default=1000 if TRUSTED_PROXIES else 200
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = USE_HTTPS
SECURE_HSTS_SECONDS = 3600 if USE_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if USE_HTTPS else None

INSTALLED_APPS = [
    "champipy_site.admin_app.ChampiPyAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_standardized_errors",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "axes",
    "django_celery_beat",
    "django_htmx",
    "common",
    "accounts",
    "mlmodels",
    "predictions",
    "observations",
    "supervision",
]
MIDDLEWARE = [
    "champipy_site.api_middleware.request_ids",
    "champipy_site.metrics.measured_requests",
    "champipy_site.middleware.head_without_body",
    "champipy_site.middleware.security_headers",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.locale.LocaleMiddleware",  # whatever comes after it tells people something
    "champipy_site.api_middleware.compressed_answers",
    "champipy_site.api_middleware.private_answers",
    "champipy_site.api_middleware.problem_details",
    "champipy_site.middleware.sound_requests",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.own_language",
    "django_htmx.middleware.HtmxMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
# Sites whose pages may call the API from a browser. None: no page of another site may.
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "idempotency-key", "prefer", "x-request-id")
]
CORS_EXPOSE_HEADERS = [
    *("location", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id")
]
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(2, "corsheaders.middleware.CorsMiddleware")
ROOT_URLCONF = "champipy_site.urls"
WSGI_APPLICATION = "champipy_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "supervision" / "templates"],  # these override the admin's templates
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
LOCALE_PATHS = [BASE_DIR / "champipy_site" / "locale"]
FORMAT_MODULE_PATH = "champipy_site.formats"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # the owner of the domain decides on HSTS for subdomains and preloading
    "security.W021",
]

# --- PostgreSQL and Redis -----------------------------------------------------------------------
# `./champipy` sets DATABASE_URL and REDIS_URL to the servers that it runs, unless they are set.
DATABASES = {
    "default": env.db_url("DATABASE_URL", default="postgres://champipy@127.0.0.1:5432/champipy")
}
# If set, DATABASE_URL names a pooler that gives each transaction another session, and this one
# names PostgreSQL itself, for what needs a session of its own (common/sessions.py).
DATABASE_DIRECT_URL = env.str("DATABASE_DIRECT_URL", default="")
CHAMPIPY_STATEMENT_TIMEOUT_S = 30
if DATABASE_DIRECT_URL:
    DATABASES["direct"] = env.db_url("DATABASE_DIRECT_URL") | {"TEST": {"MIRROR": "default"}}
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
for name, database in DATABASES.items():
    has_session = name == "direct" or not DATABASE_DIRECT_URL
    timeout = {"options": f"-c statement_timeout={CHAMPIPY_STATEMENT_TIMEOUT_S}s"}
    database |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    database["OPTIONS"] = {
        "connect_timeout": 3,
        **(timeout if has_session else {}),  # poolers refuse it; `migrate` gives it to the role
        **database.get("OPTIONS", {}),  # from the query of the URL: ?sslmode=require
    }
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")

# --- files --------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = CHAMPIPY_HOME / "static"
MEDIA_ROOT = CHAMPIPY_HOME / "media"
# Credentials of an object store are read from the environment where they are needed
# (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, …, or as boto3 finds them).
STORAGES = {
    **storages_of(env.str("CHAMPIPY_STORAGE_URL", default="")),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # for JSON and form fields; photos have their own limit
DATA_UPLOAD_MAX_NUMBER_FILES = 12  # the photos of an observation
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "predictions.api.uploads.IncomingUploadHandler",
]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 50

# --- accounts -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "accounts.hashers.Argon2Hasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    "accounts.backends.PasswordBackend",
    # For sessions that began before 0.2.0. No password reaches it: PasswordBackend comes first.
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = "login"
AXES_FAILURE_LIMIT = env.int("CHAMPIPY_LOGIN_FAILURES", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("CHAMPIPY_LOCKOUT_MINUTES", default=15))
# Lock the pair of user and address: somebody who guesses alice's password does not lock her out.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "accounts.lockout.login_locked_response"
AXES_HANDLER = "accounts.lockout.LockoutHandler"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # what is refused unseen prolongs no lock
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "accounts.lockout.client_address"
REST_KNOX = {
    "TOKEN_TTL": timedelta(hours=env.int("CHAMPIPY_TOKEN_HOURS", default=7 * 24)),
    "AUTO_REFRESH": False,
    "AUTH_HEADER_PREFIX": "Token",
    "SECURE_HASH_ALGORITHM": "hashlib.sha512",
}

# --- API ----------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "common.api.Negotiation",
    "DEFAULT_PARSER_CLASSES": ["common.api.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "common.paging.Pages",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "common.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "DEFAULT_THROTTLE_RATES": {
        # Per address. It only saves processor time: django-axes stops password guessing.
        "login": env.str("CHAMPIPY_LOGIN_RATE", default="120/min"),
        # Per user. It stops a runaway script; normal work stays far below it.
        "predictions": env.str("CHAMPIPY_PREDICTION_RATE", default="20000/min"),
        # Per user. Each takes the inference worker longer than ten predictions.
        "explanations": "60/min",
        # Per user. Each makes a call or two to Mushroom Observer, which allows 12 a minute to all.
        "mushroom_observer": "20/min",
    },
    "NUM_PROXIES": TRUSTED_PROXIES,
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "champipy_site.errors.ExceptionHandler",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ChampiPy",
    "DESCRIPTION": "Identifies the species of a mushroom in a photo and says how sure it is.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,  # all fields of these requests are optional
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "OAS_VERSION": "3.1.0",
    "ENUM_NAME_OVERRIDES": {
        "ErrorTypeEnum": "common.api.ERROR_TYPES",
        "PredictionStatusEnum": "predictions.models.Prediction.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "common.openapi.shorten_names",
        "common.openapi.describe",
        "predictions.api.schema.add_nb_preds_maximum",
    ],
}

# --- mail ---------------------------------------------------------------------------------------
# If empty, no alert is sent by mail, and none is queued for it.
EMAIL_URL = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    vars().update(env.email_url("EMAIL_URL"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="champipy@localhost")

# --- Celery -------------------------------------------------------------------------------------
# A lost or interrupted task is sent again from its database row (predictions/tasks.py). So the
# broker need not keep it: tasks are acknowledged early, and results are not stored.
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "monitoring"
CELERY_TASK_ROUTES = {
    "predictions.tasks.fetch_prediction": {"queue": "fetch"},
    "predictions.tasks.score_predictions": {"queue": "inference"},
    "predictions.tasks.infer_prediction": {"queue": "inference"},
    "predictions.tasks.load_production_engine": {"queue": "inference"},
    "predictions.tasks.make_explanation": {"queue": "inference"},
    "predictions.tasks.make_picture": {"queue": "inference"},
    "predictions.tasks.embed_photo": {"queue": "inference"},
    "predictions.tasks.embed_listed_photos": {"queue": "inference"},
    "predictions.tasks.score_shadows": {"queue": "inference"},
    "supervision.trainings.tasks.work_next_run": {"queue": "training"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 30}
CELERY_TASK_PUBLISH_RETRY = False  # a request does not wait for an unreachable broker
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "champipy_site.beat:SingleScheduler"
# Initial schedule. champipy_site/beat.py adds the entries that the database lacks and leaves the
# others as Bob set them in the admin.
CELERY_BEAT_SCHEDULE = {
    "check-accuracy": {
        "task": "supervision.monitoring.tasks.run_check",
        "args": ("accuracy",),
        "schedule": 7 * 24 * 3600.0,
    },
    "check-new-photos": {
        "task": "supervision.monitoring.tasks.run_check",
        "args": ("new_photos",),
        "schedule": 7 * 24 * 3600.0,
    },
    "watch-service": {
        "task": "supervision.monitoring.tasks.watch_service",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "update-summaries": {
        "task": "supervision.monitoring.tasks.update_summaries",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "deliver-alert-messages": {
        "task": "supervision.monitoring.tasks.deliver_alert_messages",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "resend-stalled-predictions": {
        "task": "predictions.tasks.resend_stalled_predictions",
        "schedule": 3.0,
        "options": {"expire_seconds": 3},
    },
    "finish-observations": {
        "task": "observations.tasks.finish_observations",
        "schedule": 10.0,
        "options": {"expire_seconds": 10},
    },
    "embed-listed-photos": {
        "task": "predictions.tasks.embed_listed_photos",
        "schedule": 30.0,
        "options": {"expire_seconds": 30},
    },
    "score-shadows": {
        "task": "predictions.tasks.score_shadows",
        "schedule": 10.0,
        "options": {"expire_seconds": 10},
    },
    "read-observations": {
        "task": "observations.tasks.read_observations",
        "schedule": 10.0,
        "options": {"expire_seconds": 10},
    },
    "poll-mushroom-observer": {
        "task": "observations.tasks.poll_mushroom_observer",
        "schedule": 600.0,
        "options": {"expire_seconds": 600},
        "enabled": False,  # until an administrator switches it on
        "description": "Fills the queue of finds at Mushroom Observer that are worth a look.",
    },
    "work-on-clicks": {
        "task": "observations.tasks.work_on_clicks",
        "schedule": 10.0,
        "options": {"expire_seconds": 10},
    },
    "renew-mushroom-observer-keys": {
        "task": "observations.tasks.renew_mushroom_observer_keys",
        "schedule": 24 * 3600.0,
    },
    "watch-runs": {
        "task": "supervision.trainings.tasks.watch_runs",
        "schedule": 10.0,
        "options": {"expire_seconds": 10},
    },
    "sweep-incoming-photos": {
        "task": "predictions.tasks.sweep_incoming_photos",
        "schedule": 3600.0,
    },
    "prune": {
        "task": "supervision.retention.tasks.prune",
        "schedule": 24 * 3600.0,
    },
    "prune-pictures": {
        "task": "predictions.tasks.prune_pictures",
        "schedule": 3600.0,
        "options": {"expire_seconds": 3600},
    },
    "delete-expired-tokens": {
        "task": "accounts.tasks.delete_expired_tokens",
        "schedule": 24 * 3600.0,
    },
}

# --- ChampiPy -----------------------------------------------------------------------------------
CHAMPIPY_FETCH_ALLOW = frozenset(
    entry.strip() for entry in env.list("CHAMPIPY_FETCH_ALLOW", default=[]) if entry.strip()
)
CHAMPIPY_MUSHROOM_OBSERVER_URL = env.str(
    "CHAMPIPY_MUSHROOM_OBSERVER_URL", default="https://mushroomobserver.org"
)
CHAMPIPY_SETTLED_CONFIDENCE = env.float("CHAMPIPY_SETTLED_CONFIDENCE", default=2.0)
CHAMPIPY_CONTRARY_VOTE = env.float("CHAMPIPY_CONTRARY_VOTE", default=2.0)
CHAMPIPY_CONTACT = env.str("CHAMPIPY_CONTACT", default="")
CHAMPIPY_USER_AGENT = f"ChampiPy/{VERSION} (mushroom species identification)"
if CHAMPIPY_CONTACT:
    CHAMPIPY_USER_AGENT = CHAMPIPY_USER_AGENT.replace(")", f"; {CHAMPIPY_CONTACT})")
CHAMPIPY_URL_FRESH_MINUTES = env.int("CHAMPIPY_URL_FRESH_MINUTES", default=60)
CHAMPIPY_VGG16_WEIGHTS = env.str("CHAMPIPY_VGG16_WEIGHTS", default="")
CHAMPIPY_FEATURE_CACHE_MB = env.int("CHAMPIPY_FEATURE_CACHE_MB", default=6000)
CHAMPIPY_PICTURE_CACHE_MB = env.int("CHAMPIPY_PICTURE_CACHE_MB", default=500)
CHAMPIPY_STORAGE_CACHE_MB = env.int("CHAMPIPY_STORAGE_CACHE_MB", default=2000)
CHAMPIPY_TRAINING_MINUTES = env.int("CHAMPIPY_TRAINING_MINUTES", default=30)
CHAMPIPY_TARGET_ACCURACY = env.float("CHAMPIPY_TARGET_ACCURACY", default=70)
CHAMPIPY_OTHER_PHOTOS = env.int("CHAMPIPY_OTHER_PHOTOS", default=300)
CHAMPIPY_NEW_PHOTOS = env.int("CHAMPIPY_NEW_PHOTOS", default=500)
CHAMPIPY_RETRAIN = env.bool("CHAMPIPY_RETRAIN", default=False)
CHAMPIPY_UNANSWERED_MINUTES = env.int("CHAMPIPY_UNANSWERED_MINUTES", default=10)
CHAMPIPY_ALERT_URLS = env.str("CHAMPIPY_ALERT_URLS", default="").split()
CHAMPIPY_METRICS_TOKEN = env.str("CHAMPIPY_METRICS_TOKEN", default="")  # empty: no /metrics
CHAMPIPY_SHADOW_PHOTOS = env.int("CHAMPIPY_SHADOW_PHOTOS", default=500)  # 0: no shadows
CHAMPIPY_KEEP_SCORE = env.float("CHAMPIPY_KEEP_SCORE", default=70)
# How long things are kept, in days (0: for ever), and the files of how many former versions.
CHAMPIPY_KEEP_PREDICTIONS_DAYS = env.int("CHAMPIPY_KEEP_PREDICTIONS_DAYS", default=365)
CHAMPIPY_KEEP_PHOTOS_DAYS = env.int("CHAMPIPY_KEEP_PHOTOS_DAYS", default=90)
CHAMPIPY_KEEP_SOURCES_DAYS = env.int("CHAMPIPY_KEEP_SOURCES_DAYS", default=30)
CHAMPIPY_KEEP_LOGINS_DAYS = env.int("CHAMPIPY_KEEP_LOGINS_DAYS", default=30)
CHAMPIPY_KEEP_VERSIONS = env.int("CHAMPIPY_KEEP_VERSIONS", default=5)
CHAMPIPY_WAITING_REQUESTS = env.int("CHAMPIPY_WAITING_REQUESTS", default=48)  # of 64 web threads
CHAMPIPY_USER_WAITING_REQUESTS = env.int("CHAMPIPY_USER_WAITING_REQUESTS", default=12)
CHAMPIPY_USER_FETCHES = env.int("CHAMPIPY_USER_FETCHES", default=8)  # of 32 fetch threads
CHAMPIPY_USER_SCORINGS = env.int("CHAMPIPY_USER_SCORINGS", default=8)
CHAMPIPY_USER_SHARE = env.float("CHAMPIPY_USER_SHARE", default=20)
CHAMPIPY_DAILY_PREDICTIONS = env.int("CHAMPIPY_DAILY_PREDICTIONS", default=20_000)
CHAMPIPY_DAILY_UPLOAD_MB = env.int("CHAMPIPY_DAILY_UPLOAD_MB", default=5_000)
CHAMPIPY_DISK_RESERVE_MB = env.int("CHAMPIPY_DISK_RESERVE_MB", default=500)
CHAMPIPY_INFERENCE_THREADS = env.int("CHAMPIPY_INFERENCE_THREADS", default=0)  # 0: one per core


# --- extras -------------------------------------------------------------------------------------
# What these settings ask for is imported only where they are set.
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
if OTEL_EXPORTER_OTLP_ENDPOINT:
    require_extra("opentelemetry-sdk", "OTEL_EXPORTER_OTLP_ENDPOINT", "requirements-telemetry.txt")
    MIDDLEWARE.insert(1, "champipy_site.tracing.traced_requests")
MLFLOW_TRACKING_URI = env.str("MLFLOW_TRACKING_URI", default="")
if MLFLOW_TRACKING_URI:
    require_extra("mlflow-skinny", "MLFLOW_TRACKING_URI", "requirements-mlflow.txt")
    CELERY_BEAT_SCHEDULE["track-runs"] = {
        "task": "supervision.trainings.tasks.track_runs",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    }

# --- logs ---------------------------------------------------------------------------------------
CHAMPIPY_LOG_FORMAT = env.str("CHAMPIPY_LOG_FORMAT", default="text")  # or "json"
is_json = CHAMPIPY_LOG_FORMAT == "json"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": f"common.logs.{'JSONFormatter' if is_json else 'LineFormatter'}",
            "secrets": [  # never in a line, whoever logs them
                SECRET_KEY,
                *SECRET_KEY_FALLBACKS,
                CHAMPIPY_METRICS_TOKEN,
                *url_secrets(env.str("DATABASE_URL", default="")),
                *url_secrets(DATABASE_DIRECT_URL),
                *url_secrets(REDIS_URL),
                *url_secrets(EMAIL_URL),
                *url_secrets(MLFLOW_TRACKING_URI),
                *(env.str(f"MLFLOW_TRACKING_{name}", default="") for name in ("PASSWORD", "TOKEN")),
                *env.str("OTEL_EXPORTER_OTLP_HEADERS", default="").replace("=", ",").split(","),
                *(secret for url in CHAMPIPY_ALERT_URLS for secret in alert_secrets(url)),
            ],
        }
    },
    "filters": {"request_id": {"()": "common.request_id.RequestIdFilter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request_id"],
        }
    },
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        # A line for each request and task, where a machine reads them.
        "champipy_site.requests": {"level": "INFO" if is_json else "WARNING"},
        "champipy_site.tasks": {"level": "INFO" if is_json else "WARNING"},
        "django.request": {"level": "ERROR"},  # a 404 is the client's mistake
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "tensorflow": {"level": "WARNING"},
        "waitress.queue": {"level": "ERROR"},  # a line for each request that waits for a thread
        "axes": {"level": "ERROR"},  # the admin lists the attempts
    },
}
