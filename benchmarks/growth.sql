-- Fills a new database: `growth.predictions` predictions, with photos, answers and the rest in
-- proportion, spread over the last year. The photos have rows, but no files.

CREATE TEMPORARY TABLE sizes ON COMMIT DROP AS
SELECT current_setting('growth.predictions')::bigint AS predictions,
    current_setting('growth.photos')::bigint AS photos,
    current_setting('growth.answers')::bigint AS answers;

INSERT INTO accounts_user (
    username, password, is_superuser, first_name, last_name, email, is_staff, is_active, language,
    date_joined)
SELECT 'verifier' || i, '!', false, '', '', '', false, true, '', now() - interval '1 year'
FROM generate_series(1, 200) AS i;
-- The last twenty have never asked anything.
CREATE TEMPORARY TABLE askers ON COMMIT DROP AS
SELECT (SELECT id FROM accounts_user WHERE username = 'alice') AS alice,
    (SELECT id FROM accounts_user WHERE username = 'bob') AS bob,
    (SELECT array_agg(id ORDER BY id) FROM accounts_user
     WHERE username LIKE 'verifier%' AND id <= (SELECT max(id) - 20 FROM accounts_user)) AS others;
-- Of ten finds alice asks for four, bob for one, and 180 others for the rest.
CREATE FUNCTION pg_temp.asker(find bigint, people askers) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$
SELECT CASE WHEN find % 10 < 4 THEN people.alice WHEN find % 10 = 4 THEN people.bob
    ELSE people.others[1 + find / 10 % array_length(people.others, 1)] END
$$;
CREATE FUNCTION pg_temp.because(species text, score numeric) RETURNS jsonb IMMUTABLE LANGUAGE sql
AS $$
SELECT jsonb_build_object('code', 'improbable', 'parameters', jsonb_build_object(
    'species', species, 'score', score, 'limit', 3.19))
$$;

-- Of fifty photos eight are in training as a model named them, one was confirmed by bob, one is of
-- another species; one of a hundred is in the evaluation set, one of a thousand excluded.
INSERT INTO predictions_photo (
    sha256, file, bytes, width, height, perceptual_hash, origin, mushroom_observer_id, label_id,
    label_source, split, split_at, excluded, is_other, other_name, contributed_by_id,
    reviewed_by_id, reviewed_at, created_at)
SELECT sha, 'photos/' || left(sha, 2) || '/' || sha, 20000 + i % 80000, 320, 240,
    ('x' || left(sha, 16))::bit(64)::bigint, 'https://photos.example/' || i || '.jpg',
    CASE WHEN i % 10 = 1 THEN i END,
    CASE WHEN i % 50 < 9 OR i % 100 = 20 THEN
        species.ids[1 + i / 50 % array_length(species.ids, 1)] END,
    CASE WHEN i % 50 < 8 THEN 'predicted' WHEN i % 50 IN (8, 9) THEN 'confirmed'
        WHEN i % 100 = 20 THEN 'imported' ELSE '' END,
    CASE WHEN i % 50 < 10 THEN 'training' WHEN i % 100 = 20 THEN 'evaluation' ELSE '' END,
    CASE WHEN i % 50 < 10 OR i % 100 = 20 THEN born END,
    i % 1000 = 30, i % 50 = 9, CASE WHEN i % 50 = 9 THEN 'Boletus edulis' ELSE '' END,
    CASE WHEN i % 50 < 8 THEN people.alice END,
    CASE WHEN i % 50 IN (8, 9) THEN people.bob END,
    CASE WHEN i % 50 IN (8, 9) THEN born END,
    born
FROM sizes, generate_series(1, photos) AS i,
    LATERAL (SELECT encode(sha256(i::text::bytea), 'hex') AS sha,
             now() - interval '1 year' * (1 - i::float / photos) AS born) AS each,
    (SELECT array_agg(id ORDER BY id) AS ids FROM mlmodels_species) AS species, askers AS people;

INSERT INTO predictions_photosource (key, photo_id, sha256, is_permanent, fetched_at)
SELECT encode(sha256(origin::bytea), 'hex'), id, '', false, created_at FROM predictions_photo;

INSERT INTO supervision_photoreview (photo_id, decision, kind, by_id, before, after, created_at)
SELECT photo.id, gen_random_uuid(), CASE WHEN is_other THEN 'other' ELSE 'label' END,
    reviewed_by_id, state || '{"label_source": "predicted", "reviewed_by_id": null}', state,
    reviewed_at
FROM predictions_photo AS photo LEFT JOIN mlmodels_species AS species ON species.id = label_id,
    LATERAL (SELECT jsonb_build_object(
        'species', name, 'is_other', is_other, 'other_name', other_name, 'label_source',
        label_source, 'split', split, 'excluded', excluded, 'reviewed_by_id', reviewed_by_id,
        'split_at', split_at, 'reviewed_at', reviewed_at) AS state) AS now
WHERE reviewed_at IS NOT NULL ORDER BY photo.id;

-- The last audit doubts some of the newest training photos.
INSERT INTO supervision_labeldoubt (photo_id, label_id, doubt, likelier_id, method, audited_at)
SELECT id, label_id, id % 100 / 100.0,
    CASE WHEN id % 5 = 0 THEN (SELECT min(id) FROM mlmodels_species) ELSE label_id END,
    'growth', now()
FROM predictions_photo WHERE split = 'training' AND NOT is_other ORDER BY id DESC
LIMIT (SELECT least(1000, photos / 200) FROM sizes);

INSERT INTO mlmodels_modelversion (
    name, version, stage, labels, input_size, preprocessing, temperature, files, metrics, card,
    created_at)
SELECT name, 1000 + n, CASE WHEN n = 9 THEN 'Staging' ELSE 'Archived' END, labels, input_size,
    preprocessing, temperature, '{}', metrics, card, now() - interval '1 day' * (40 - n)
FROM mlmodels_modelversion, generate_series(0, 9) AS n WHERE stage = 'Production';
INSERT INTO predictions_shadow (model_version_id, skipped, lost_workers, error)
SELECT id, '{}', 3, '' FROM mlmodels_modelversion WHERE stage = 'Staging';
UPDATE mlmodels_stagetransition SET created_at = now() - interval '30 days';

-- Nine photos of ten have an inference of the version in production. Each tenth of these has one
-- of another version, too, and the newest ones have one of the version in Staging.
INSERT INTO predictions_inference (
    photo_id, model_version_id, scores, best_score, best_species, in_scope, scope_score, p_values,
    name_scores, duration_ms, is_background, created_at)
SELECT photo.id, version.id, scores, best, version.labels ->> (position - 1)::int, best > 40,
    best, scores, scores, 60, version.stage = 'Staging', photo.created_at
FROM sizes, predictions_photo AS photo, LATERAL (SELECT id % photos AS i) AS numbered,
    mlmodels_modelversion AS version,
    LATERAL (SELECT abs(hashtext(photo.sha256 || version.id)::bigint) AS seed) AS seeded,
    LATERAL (SELECT 1 + seed / 100 % jsonb_array_length(version.labels) AS position,
             round(30 + seed % 70 + 0.25, 2) AS best) AS scored,
    LATERAL (SELECT jsonb_agg(CASE WHEN n = position THEN best ELSE
                              round((100 - best) / (jsonb_array_length(version.labels) - 1), 2)
                              END) AS scores
             FROM generate_series(1, jsonb_array_length(version.labels)) AS n) AS listed
WHERE i % 10 > 0 AND (version.stage = 'Production' OR version.version = 1000 AND i % 10 = 9
                      OR version.stage = 'Staging' AND i > photos - 200)
ORDER BY photo.id, version.id;

CREATE TEMPORARY TABLE numbered ON COMMIT DROP AS
SELECT inference.id, sha256, row_number() OVER (ORDER BY inference.id) AS n
FROM predictions_inference AS inference JOIN predictions_photo AS photo ON photo.id = photo_id
WHERE NOT is_background;
ANALYZE numbered;

-- The first prediction of an inference made it; all later ones reused it. Three of 100 failed. For
-- one of ten a name was proposed. Of five predictions two are a find, and each fourth find is one of
-- the queue.
INSERT INTO predictions_prediction (
    "user_id", file, is_upload, sha256, nb_preds, proposed, proposed_species, verdict, status,
    error_code, error_detail, inference_id, reused, attempts, sends, request_id, is_background,
    created_at, finished_at)
SELECT CASE WHEN NOT is_of_queue THEN pg_temp.asker(i / 5, people) END,
    'https://photos.example/' || i || '.jpg', false,
    CASE WHEN is_failed THEN '' ELSE inference.sha256 END, 1,
    CASE WHEN is_judged THEN species ELSE '' END, CASE WHEN is_judged THEN species ELSE '' END,
    CASE WHEN is_judged AND NOT is_failed THEN
        jsonb_build_object('verdict', verdict, 'score', i % 100,
                           'because', pg_temp.because(species, i % 100)) END,
    CASE WHEN is_failed THEN 'failed' ELSE 'done' END,
    CASE WHEN is_failed THEN 'image_not_found' ELSE '' END, '',
    CASE WHEN NOT is_failed THEN inference.id END, i > total, 1, 1, '', is_of_queue, born, born
FROM sizes, askers AS people, (SELECT count(*) AS total FROM numbered) AS counted,
    (SELECT array_agg(name ORDER BY name) AS names FROM mlmodels_species) AS every,
    generate_series(1, predictions) AS i,
    LATERAL (SELECT 1 + i % total AS n,
             i % 5 < 2 AND i / 5 % 4 = 0 AS is_of_queue, i % 10 = 3 AS is_judged,
             i % 100 IN (2, 38, 79) AS is_failed,
             names[1 + i / 10 % array_length(names, 1)] AS species,
             (ARRAY['supported', 'contradicted', 'undecided'])[1 + i / 10 % 3] AS verdict,
             now() - interval '1 year' * (1 - i::float / predictions) AS born) AS each
    JOIN numbered AS inference USING (n)
ORDER BY i;
CREATE TEMPORARY TABLE first_ids ON COMMIT DROP AS
SELECT min(id) - 1 AS prediction FROM predictions_prediction;

-- Nine of ten finds are decided; in the queue all but the newest, of which at most 500 wait. Alice
-- was unsure about some of the oldest.
INSERT INTO observations_observation (
    "user_id", status, error_code, error_detail, source, mushroom_observer_id, url, reads,
    fingerprint, settled_name, settled_species, remarks, answer, decision, decision_name, note,
    decided_at, created_at)
SELECT CASE WHEN source = 'own' OR is_decided THEN pg_temp.asker(f, people) END,
    'done', '', '', source, CASE WHEN source = 'queue' THEN f END, '', 0, '', '', '', '[]',
    jsonb_build_object(
        'predictions', (SELECT jsonb_agg(jsonb_build_object('species', name, 'score', 10))
                        FROM unnest(names) AS name),
        'scope', jsonb_build_object('in_scope', f % 7 > 0, 'score', f % 100),
        'plausible', jsonb_build_array(names[1])),
    CASE WHEN is_decided THEN
        CASE WHEN f < 200 AND f % 10 = 3 THEN 'unsure' WHEN f % 3 = 0 THEN 'disagree' ELSE 'agree' END
        ELSE '' END, '', '', CASE WHEN is_decided THEN born END, born
FROM sizes, askers AS people, generate_series(1, predictions / 5 - 1) AS f,
    (SELECT array_agg(name ORDER BY name) AS names FROM mlmodels_species) AS every,
    LATERAL (SELECT CASE WHEN f % 4 = 0 THEN 'queue' ELSE 'own' END AS source,
             now() - interval '1 year' * (1 - f * 5.0 / predictions) AS born,
             CASE WHEN f % 4 = 0 THEN f < predictions / 5 - least(2000, predictions / 200)
                 ELSE f % 10 > 0 END AS is_decided) AS each
ORDER BY f;
CREATE TEMPORARY TABLE found ON COMMIT DROP AS
SELECT id, source, "user_id", decision, row_number() OVER (ORDER BY id) AS f
FROM observations_observation;
INSERT INTO observations_observationphoto (
    observation_id, prediction_id, holder, licence, is_usable)
SELECT id, prediction + 5 * f + place, '', '', true
FROM found, first_ids, generate_series(0, 1) AS place ORDER BY id, place;
INSERT INTO observations_proposedname (
    observation_id, name, species, key, verdict, score, because,
    votes, is_consensus)
SELECT id, names[at], names[at], lower(names[at]),
    (ARRAY['supported', 'contradicted', 'undecided', 'not_covered'])[1 + f / 7 % 4], f % 100,
    pg_temp.because(names[at], f % 100), '[]', false
FROM found, (SELECT array_agg(name ORDER BY name) AS names FROM mlmodels_species) AS every,
    LATERAL (SELECT 1 + f % array_length(names, 1) AS at) AS placed ORDER BY id;
INSERT INTO observations_queueentry (
    mushroom_observer_id, observation_id, is_to_read, fingerprint, read_at, failures, leased_to_id)
SELECT f, id, false, '', now() - interval '1 hour', 0, "user_id"
FROM found WHERE source = 'queue' ORDER BY id;
INSERT INTO observations_mushroomobserverwrite (
    "user_id", observation_id, mushroom_observer_id, kind, content, seen, digest, state,
    error_code, error_detail, known_ids, looks, next_step_at, created_at, sent_at, finished_at)
SELECT "user_id", id, f, 'vote', '{}', '', f, 'sent', '', '', '[]', 0, NULL, now(), now(), now()
FROM found WHERE source = 'queue' AND decision <> '' AND f % 5 = 0 ORDER BY id;

-- Users say something about one answer of a hundred; one of twenty of these waits for a review.
INSERT INTO predictions_feedback (
    prediction_id, "user_id", name, species_id, comment, created_at, reviewed_by_id, reviewed_at)
SELECT prediction.id, prediction."user_id", names[at], ids[at], '', prediction.created_at,
    CASE WHEN NOT waits THEN people.bob END, CASE WHEN NOT waits THEN prediction.created_at END
FROM predictions_prediction AS prediction, askers AS people,
    (SELECT array_agg(id ORDER BY name) AS ids, array_agg(name ORDER BY name) AS names
     FROM mlmodels_species) AS every,
    LATERAL (SELECT 1 + prediction.id % array_length(names, 1) AS at,
             prediction.id % 2000 = 7 AS waits) AS each
WHERE prediction.id % 100 = 7 AND "user_id" IS NOT NULL AND status = 'done';

-- Ten evaluation sets, on each of which ten versions were evaluated.
CREATE TEMPORARY TABLE frozen ON COMMIT DROP AS
SELECT set, photo.sha256, species.name AS species, row_number() OVER (ORDER BY photo.sha256) AS n
FROM sizes, generate_series(1, 10) AS set,
    LATERAL (SELECT * FROM predictions_photo WHERE split = 'evaluation'
             ORDER BY sha256 LIMIT answers / 100) AS photo
    JOIN mlmodels_species AS species ON species.id = label_id;
INSERT INTO supervision_evaluationset (kind, version, sha256, n, manifest, created_at, reason)
SELECT 'species', set, encode(sha256(
        ('[' || string_agg(format('["%s", "%s"]', sha256, species), ', ' ORDER BY sha256) || ']'
         )::bytea), 'hex'),
    count(*), jsonb_agg(jsonb_build_array(sha256, species) ORDER BY sha256), now(), 'growth'
FROM frozen GROUP BY set;
INSERT INTO supervision_evaluation (
    model_version_id, evaluation_set, accuracy, n, metrics, scopes, evaluated_at)
SELECT version.id,
    CASE WHEN set.version = 10 THEN set.sha256 ELSE left(set.sha256, 60) || set.version END,
    0.9, set.n, version.metrics -> 'evaluation', '{}', now() - interval '1 day' * (11 - set.version)
FROM supervision_evaluationset AS set, mlmodels_modelversion AS version
WHERE version.stage <> 'Staging' ORDER BY set.version, version.id;
INSERT INTO supervision_evaluationanswer (
    evaluation_id, sha256, species, answered, score, is_right, score_bin)
SELECT evaluation.id, sha256, species, names[1 + answer], 40 + seed % 60, names[1 + answer] = species,
    seed % 10
FROM supervision_evaluation AS evaluation JOIN frozen ON frozen.set = 1,
    (SELECT array_agg(name ORDER BY name) AS names FROM mlmodels_species) AS every,
    LATERAL (SELECT abs(hashtext(sha256 || evaluation.id)::bigint) AS seed) AS seeded,
    LATERAL (SELECT CASE WHEN seed % 10 = 0 THEN seed / 10 % array_length(names, 1)
             ELSE array_position(names, species) - 1 END AS answer) AS answered
ORDER BY evaluation.id, sha256;
