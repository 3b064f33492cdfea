"""Queries whose SQL is made once. Making it takes Django longer than PostgreSQL takes to answer."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Field, ForeignKey, Lookup, Model, QuerySet
from django.db.models.sql.compiler import SQLCompiler

M = TypeVar("M", bound=Model)
Value = str | int | list[str] | list[int]


class AnyOf(Lookup):
    """`field__any_of=values`: what `in` does, by SQL that does not depend on their number."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        field, parameters = self.process_lhs(compiler, connection)
        return f"{field} = ANY(%s)", (*parameters, list(self.rhs))


Field.register_lookup(AnyOf)
ForeignKey.register_lookup(AnyOf)


class Prepared(Generic[M]):
    """A query with values to be filled in, such as `sha256`.

    `build` takes stand-ins for the values as keyword arguments and returns the query, which may
    use them only as they are; `types` says of each value whether it is a str, an int or a list (for
    `any_of`). What `select_related` would add is left out.
    """

    def __init__(self, build: Callable[..., QuerySet[M]], **types: type[Value]) -> None:
        self._build = build
        self._stand_ins = {
            name: _stand_in(name, number, kind) for number, (name, kind) in enumerate(types.items())
        }

    def all(self, **values: Value) -> list[M]:
        """Return the objects that the query finds."""
        made = self._made
        with connection.cursor() as cursor:
            cursor.execute(made.sql, self._parameters(values))
            rows: Iterable[Sequence[Any]] = cursor.fetchall()
        if made.converters:
            rows = made.compiler.apply_converters(rows, made.converters)
        return [made.object_of(row) for row in rows]

    def first(self, **values: Value) -> M | None:
        """Return the first object that the query finds, or None."""
        return next(iter(self.all(**values)), None)

    def count(self, **values: Value) -> int:
        """Return how many rows the query finds."""
        counted = f"SELECT count(*) FROM ({self._made.sql}) AS found"  # noqa: S608 - Django's SQL
        with connection.cursor() as cursor:
            cursor.execute(counted, self._parameters(values))
            return int(cursor.fetchone()[0])

    @functools.cached_property
    def _made(self) -> "_Made[M]":
        query = self._build(**self._stand_ins).select_related(None)
        compiler = query.query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        missing = [name for name, each in self._stand_ins.items() if each not in parameters]
        if missing:
            raise ValueError(f"The query does not use {missing} as they are: {sql}")
        return _Made(query.model, sql, parameters, compiler)

    def _parameters(self, values: Mapping[str, Value]) -> list[Any]:
        given = [(stand_in, values[name]) for name, stand_in in self._stand_ins.items()]
        return [
            next((v for known, v in given if known == each), each) for each in self._made.parameters
        ]


class _Made(Generic[M]):
    """The SQL of a query, and how its rows become objects, as Django's `ModelIterable` does it."""

    def __init__(
        self, model: type[M], sql: str, parameters: tuple[Any, ...], compiler: SQLCompiler
    ) -> None:
        self.sql, self.parameters, self.compiler = sql, parameters, compiler
        selected = [expression for expression, *_ in compiler.select]
        self.converters = compiler.get_converters(selected)
        fields = compiler.klass_info["select_fields"]
        self._model, self._count = model, len(fields)
        self._names = [selected[position].target.attname for position in fields]
        self._annotations = compiler.annotation_col_map
        if fields != list(range(len(fields))):
            raise ValueError(f"The model's fields are not the first columns: {sql}")

    def object_of(self, row: Sequence[Any]) -> M:
        found = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[: self._count])
        for name, position in self._annotations.items():
            setattr(found, name, row[position])
        return found


def _stand_in(name: str, number: int, kind: type[Value]) -> Value:
    if kind is int:
        return 2**62 + number
    return f"value of {name}" if kind is str else [f"values of {name}"]
