// Calls a running ChampiPy with the client that openapi-fetch makes of the generated types.
// node client.ts http://127.0.0.1:8000 PHOTO
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.ts";

const [base, photo] = process.argv.slice(2) as [string, string];
const nobody = createClient<paths, "application/json">({ baseUrl: base });
const login = await nobody.POST("/api/v1/token", {
  body: { username: "alice", password: "wonderland" },
});
assert(login.data);
const headers = { Authorization: `Bearer ${login.data.token}` };
const alice = createClient<paths, "application/json">({ baseUrl: base, headers });

const code = (error: components["schemas"]["Error"] | undefined): string | undefined =>
  error?.errors[0]?.code;

// Good paths
const form = new FormData();
form.append("file", new Blob([readFileSync(photo)]), "photo.jpg");
form.append("nb_preds", "3");
const made = await alice.POST("/api/v1/predictions", {
  body: { file: "", nb_preds: 3 },
  bodySerializer: () => form,
});
assert.equal(made.response.status, 200);
assert(made.data);
assert.equal(made.data.status, "done");
assert.equal(made.data.predictions?.length, 3);
const id = made.data.id;
const one = await alice.GET("/api/v1/predictions/{id}", { params: { path: { id } } });
assert.equal(one.data?.id, id);
const list = await alice.GET("/api/v1/predictions", {
  params: { query: { status: "done", page_size: 1 } },
});
assert.equal(list.data?.results[0]?.id, id);
const batch = await alice.POST("/api/v1/predictions/batch", {
  body: { files: ["ftp://a", "ftp://b"], nb_preds: 1 },
});
assert.deepEqual(batch.data?.results.map((each) => each.error?.code), [
  "url_forbidden",
  "url_forbidden",
]);
const usage = await alice.GET("/api/v1/usage");
assert(usage.data && usage.data.predictions.today >= 3);

// Bad paths
const anonymous = await nobody.GET("/api/v1/predictions");
assert.deepEqual([anonymous.response.status, code(anonymous.error)], [401, "not_authenticated"]);
const empty = await alice.POST("/api/v1/predictions", { body: { file: "", nb_preds: 1 } });
assert.deepEqual([empty.response.status, code(empty.error)], [400, "blank"]);
const forbidden = await alice.POST("/api/v1/predictions", {
  body: { file: "http://10.0.0.1/a.jpg", nb_preds: 1 },
});
assert.deepEqual([forbidden.response.status, code(forbidden.error)], [422, "url_forbidden"]);
const admins = await alice.GET("/api/v1/models");
assert.deepEqual([admins.response.status, code(admins.error)], [403, "permission_denied"]);

// Deletion
const path = { params: { path: { id } } };
assert.equal((await alice.DELETE("/api/v1/predictions/{id}", path)).response.status, 204);
const gone = await alice.GET("/api/v1/predictions/{id}", path);
assert.deepEqual([gone.response.status, code(gone.error)], [404, "not_found"]);
console.log("ok");
