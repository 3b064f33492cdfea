"""The addresses of all pages and endpoints that are read, with each filter of lists.

Of those tables they are that `benchmarks/growth.sql` fills: `benchmarks/growth.py` times them, and
a test looks how the database reads what they need.
"""

from collections.abc import Callable
from typing import Any

IDS = {
    "find": "SELECT max(id) FROM observations_observation AS find "
    "WHERE source = 'own' AND user_id = (SELECT id FROM accounts_user WHERE username = 'alice')",
    "decided": "SELECT max(id) FROM observations_observation AS find "
    "WHERE source = 'queue' AND user_id = (SELECT id FROM accounts_user WHERE username = 'alice')",
    "prediction": "SELECT max(id) FROM predictions_prediction WHERE status = 'done' "
    "AND user_id = (SELECT id FROM accounts_user WHERE username = 'alice')",
    "old": "SELECT min(id) FROM predictions_prediction "
    "WHERE user_id = (SELECT id FROM accounts_user WHERE username = 'alice')",
    "photo": "SELECT max(id) FROM predictions_photo WHERE label_source = 'predicted'",
    "sha256": "SELECT sha256 FROM predictions_photo ORDER BY id LIMIT 1",
    "version": "SELECT id FROM mlmodels_modelversion WHERE stage = 'Production'",
    "staging": "SELECT max(id) FROM mlmodels_modelversion WHERE stage = 'Staging'",
    "archived": "SELECT max(id) FROM mlmodels_modelversion WHERE stage = 'Archived'",
    "evaluation": "SELECT max(id) FROM supervision_evaluation",
    "user": "SELECT id FROM accounts_user WHERE username = 'alice'",
}
"""The query for each id that the addresses hold."""
SPECIES = "Amanita+muscaria"
OF_VERIFIERS = (
    "/",
    "/finds",
    *(f"/finds?verdict={verdict}" for verdict in ("supported", "contradicted", "not_covered")),
    *(f"/finds?decision={decision}" for decision in ("agree", "disagree", "unsure")),
    *(f"/finds?source={source}" for source in ("own", "queue", "mushroom_observer")),
    f"/finds?proposed={SPECIES}",
    f"/finds?proposed={SPECIES}&verdict=contradicted",
    "/finds?proposed=Boletus+edulis",
    "/finds?created_after=2000-01-01T00:00:00Z",
    "/finds?cursor={find}",
    "/finds/{find}",
    "/finds/{find}/card",
    "/finds/{find}/why",
    "/finds/{decided}",
    "/photos",
    *(f"/photos?status={status}" for status in ("pending", "done", "failed")),
    *(f"/photos?verdict={verdict}" for verdict in ("supported", "not_covered")),
    f"/photos?proposed={SPECIES}",
    f"/photos?species={SPECIES}&min_score=95",
    "/queue",
    "/account",
)
"""Pages of alice, who has asked and decided much."""
OF_USERS = (
    "/api/v1/status",
    "/api/v1/dbconnex",
    "/api/v1/user",
    "/api/v1/species",
    "/api/v1/usage",
    "/api/v1/predictions/{prediction}",
    "/api/v1/mushroom-observer-key",
    "/api/v1/mushroom-observer-writes",
    *(
        f"/api/v1/observations{query}"
        for query in (
            "",
            "?verdict=contradicted",
            "?verdict=not_covered",
            "?decision=disagree",
            "?decision=unsure",
            "?source=own",
            "?source=queue",
            "?source=mushroom_observer",
            f"?proposed={SPECIES}",
            f"?proposed={SPECIES}&verdict=supported",
            "?proposed=Boletus+edulis",
            "?created_after=2000-01-01T00:00:00Z",
            "?cursor={find}",
            "?page_size=100",
        )
    ),
    "/api/v1/observations/{find}",
    "/api/v1/observations/{decided}",
    *(
        f"/api/v1/predictions{query}"
        for query in (
            "",
            "?page_size=100",
            "?cursor={old}",
            "?status=pending",
            "?status=done",
            "?status=failed",
            f"?species={SPECIES}",
            "?min_score=95",
            "?min_score=99.9",
            f"?species={SPECIES}&min_score=95",
            f"?species={SPECIES}&min_score=95&in_scope=false",
            "?in_scope=true",
            "?in_scope=false",
            "?created_after=2000-01-01T00:00:00Z",
        )
    ),
)
"""Endpoints that alice and bob read."""
OF_ADMINISTRATORS = (
    "/api/v1/models",
    "/api/v1/accuracy",
    "/api/v1/past_pred_acc?nb_last_preds=1000",
    "/api/v1/nb_new_img",
    "/api/v1/runs",
    "/api/v1/runs/composition",
    "/api/v1/alerts",
)
PAGES_OF_ADMINISTRATORS = (
    "/admin/",
    "/admin/accounts/user/",
    "/admin/accounts/user/?is_staff__exact=0",
    "/admin/accounts/user/?q=ali",
    "/admin/accounts/user/{user}/change/",
    "/admin/mlmodels/modelversion/{version}/change/",
    "/admin/mlmodels/modelversion/{archived}/change/",
    "/admin/mlmodels/modelversion/{archived}/promote/",
    "/admin/mlmodels/modelversion/compare/?a={archived}&b={version}",
    "/admin/mlmodels/modelversion/{staging}/shadow/",
    "/admin/mlmodels/trainingrun/start/train",
    "/admin/supervision/evaluation/{evaluation}/change/",
    "/admin/supervision/evaluation/{evaluation}/change/?photos=wrong",
    f"/admin/supervision/evaluation/{{evaluation}}/change/?species={SPECIES}",
    *(
        f"/admin/predictions/photo/?{query}"
        for query in (
            "",
            "review=waiting",
            "review=next_training",
            "review=reviewed",
            "review=excluded",
            "review=all",
            "doubt=score",
            "doubt=versions",
            "doubt=label",
            "doubt=feedback",
            f"species={SPECIES}",
            "species=other",
            "split__exact=training",
            "split__exact=evaluation",
            "label_source__exact=predicted",
            "label_source__exact=imported",
            "q=photos.example",
            "q={sha256}",
        )
    ),
    "/admin/predictions/photo/{photo}/change/",
    *(
        f"/admin/predictions/prediction/?{query}"
        for query in ("", "status__exact=failed", "status__exact=done", "q={sha256}", "q=alice")
    ),
    "/admin/predictions/prediction/{prediction}/change/",
    *(
        f"/admin/observations/observation/?{query}"
        for query in ("", "source__exact=queue", "decision__exact=unsure", "status__exact=failed")
    ),
    "/admin/observations/observation/{find}/change/",
    "/admin/observations/queueentry/",
    "/admin/observations/mushroomobserverwrite/",
)


def filled(paths: tuple[str, ...], read: Callable[[str], Any]) -> list[str]:
    """Return addresses with the ids of a database. `read` returns the value of a query."""
    ids = {name: read(query) for name, query in IDS.items()}
    return [path.format(**ids) for path in paths]
