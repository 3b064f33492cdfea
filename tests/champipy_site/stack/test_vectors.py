"""The extension `vector`: in old homes, in new databases, and on servers that lack it."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from champipy_site.stack.postgresql import PostgreSQL, connect
from champipy_site.stack.restore import _without_vectors
from champipy_site.stack.state import read_state
from tests.support.stack import Stack, empty_stack

EXTENSIONS = """
from django.db import connection
from predictions.vector_services import has_vectors
connection.ensure_connection()
with connection._nodb_cursor() as cursor:
    cursor.execute("CREATE DATABASE another")
with connection.cursor() as cursor:
    cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'embeddings_%'")
    print(has_vectors(), len(cursor.fetchall()))
connection.close()
connection.settings_dict["NAME"] = "another"
print(has_vectors())
connection.close()
connection.settings_dict["NAME"] = "champipy"
with connection._nodb_cursor() as cursor:
    cursor.execute("DROP DATABASE another")
"""
ASK = """
from django.conf import settings
settings.ALLOWED_HOSTS.append("testserver")
from accounts.models import User
from predictions.models import Photo, Prediction, Inference
from mlmodels.selectors import production_version
from predictions.embedding_services import listed_photos_embed
from tests.support.api import client_of
client = client_of(User.objects.get(username="alice"))
photo = Photo.objects.create(
    sha256="a", file="a", bytes=1, width=9, height=9, perceptual_hash=0)
inference = Inference.objects.create(photo=photo, model_version=production_version(),
    scores=[1], best_score=1, best_species="a", duration_ms=1)
asked = Prediction.objects.create(user=User.objects.get(username="alice"), file="a",
    is_upload=True, status="done", inference=inference)
answer = client.get(f"/api/v1/predictions/{asked.pk}/similar")
print(answer.status_code, answer.json()["errors"][0]["code"], listed_photos_embed())
"""


def output(stack: Stack, code: str) -> str:
    done = stack("shell", "--verbosity", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_home_of_an_earlier_version_gets_the_extension_and_so_do_new_databases(stack: Stack):
    server = PostgreSQL(stack.home, 1)
    for database in ("template1", "champipy"):  # as earlier versions left them
        server._single_user(server.data, "DROP EXTENSION vector CASCADE", database=database)
    (server.folder / "vector.control").unlink()
    assert stack("prepare_similar").returncode == 0
    assert output(stack, EXTENSIONS).split() == ["True", "1", "True"]
    shutil.copy(server.folder / "vector.control", server.folder / "kept")
    server.prepare()  # nothing to do
    assert (server.folder / "kept").read_bytes() == (server.folder / "vector.control").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_without_the_extension_lacks_similar_photos_only(stack: Stack, tmp_path: Path):
    assert stack.up().returncode == 0
    made = stack("backup", str(tmp_path / "backup.tar"))
    assert made.returncode == 0, made.stderr
    urls = read_state(stack.home).environment
    server = urls["DATABASE_URL"].removesuffix("champipy")
    with closing(connect(urls["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        connection.autocommit = True  # CREATE DATABASE runs in no transaction
        for name in ("bare", "restored"):
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    bare = urls | {"DATABASE_URL": server + "bare"}
    with empty_stack(**bare) as other:
        prepared = other("shell", "-c", "from champipy_site.stack import prepare; prepare.main()")
        assert prepared.returncode == 0, prepared.stderr
        said = other("prepare_similar")
        assert said.returncode == 0
        assert "lacks PostgreSQL's extension vector" in said.stderr
        checked = other("check", "--database", "default")
        assert checked.returncode == 0
        assert "champipy.W006" in checked.stderr
        assert output(other, ASK).split() == ["503", "similar_unavailable", "False"]
    restored = urls | {"DATABASE_URL": server + "restored"}
    with empty_stack(**restored) as other:
        done = other("restore", str(tmp_path / "backup.tar"))
        assert done.returncode == 0, done.stderr
        assert "has no extension vector: everything was restored, but" in done.stderr
        users = "from accounts.models import User; print(User.objects.count())"
        assert output(other, users) == output(stack, users)
    assert "champipy.W006" not in stack("check", "--database", "default").stderr


def test_a_restore_leaves_out_the_extension_and_its_indexes_alone():
    kept = [
        "; Archive created at 2026-11-29",
        "3; 3079 1 EXTENSION - plpgsql ",
        "220; 1259 17 TABLE public predictions_photoembedding champipy",
        "3390; 1259 20 INDEX public licensed_photos champipy",
    ]
    left_out = [
        "2; 3079 16385 EXTENSION - vector ",
        "4412; 0 0 COMMENT - EXTENSION vector ",
        "3391; 1259 21 INDEX public embeddings_b0fe784e5d99 champipy",
    ]
    contents = "".join(f"{line}\n" for line in [*kept, *left_out])
    assert _without_vectors(contents).splitlines() == kept
