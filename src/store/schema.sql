-- Version 2 of the store's schema. Times are nanoseconds since the Unix epoch, durations nanoseconds, money USD.
-- Ids are hexadecimal text, so that a person can paste them. Codes of `kind` and `status` are in the view `spans`.

CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Who sent spans: one row for each distinct set of resource attributes.
CREATE TABLE resource(
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  service TEXT, environment TEXT, version TEXT,
  json TEXT NOT NULL
) STRICT;

-- One row for each trace, brought up to date with every batch: lists read nothing else.
CREATE TABLE trace(
  id INTEGER PRIMARY KEY,
  trace_id TEXT NOT NULL UNIQUE,
  resource INTEGER,
  name TEXT NOT NULL DEFAULT '',
  root TEXT,                               -- span id of the root, once it has ended
  session TEXT, user TEXT,
  start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
  status INTEGER NOT NULL DEFAULT 5,       -- the root's; 5 (running) until it has ended
  spans INTEGER NOT NULL DEFAULT 0,
  errors INTEGER NOT NULL DEFAULT 0,       -- spans that failed of themselves, not because one below them did
  generations INTEGER NOT NULL DEFAULT 0,
  tools INTEGER NOT NULL DEFAULT 0,
  input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,  -- of model calls
  cost REAL,
  unpriced INTEGER NOT NULL DEFAULT 0,     -- model calls with tokens and no price
  reported_input INTEGER, reported_output INTEGER, reported_cost REAL, -- told by other spans; counts only without model calls
  input TEXT, output TEXT,                 -- of the root, the first characters
  error TEXT,                              -- the first message of a failed span
  pinned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX trace_time ON trace(start_ns);
CREATE INDEX trace_session ON trace(session, start_ns) WHERE session IS NOT NULL;
CREATE INDEX trace_user ON trace(user, start_ns) WHERE user IS NOT NULL;
CREATE INDEX trace_errors ON trace(start_ns) WHERE errors > 0;

-- Finished spans, without their content: timelines and figures never touch a prompt. Ids grow in the order of commits.
CREATE TABLE span(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  trace INTEGER NOT NULL,
  span_id TEXT NOT NULL,
  parent_id TEXT,
  name TEXT NOT NULL,
  kind INTEGER NOT NULL,
  agent TEXT NOT NULL DEFAULT '',          -- the agent it worked for: its own name, for an agent
  model TEXT NOT NULL DEFAULT '',
  provider TEXT,
  start_ns INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
  status INTEGER NOT NULL DEFAULT 0,
  own_error INTEGER NOT NULL DEFAULT 0,    -- failed, and not because a child did
  error_type TEXT, error TEXT,
  input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,
  first_chunk_ns INTEGER,
  cost REAL,
  resource INTEGER,
  links INTEGER NOT NULL DEFAULT 0         -- how many; they are in the content
) STRICT;
CREATE UNIQUE INDEX span_key ON span(trace, span_id);
CREATE INDEX span_figures ON span(start_ns, kind, agent, status, duration_ns, input_tokens, output_tokens, cost, model);
CREATE INDEX span_failed ON span(start_ns) WHERE status = 1;
CREATE INDEX span_failed_child ON span(trace, parent_id) WHERE status = 1;

-- Content: JSON with attributes, events and links. {"$text": [..]} and {"$list": [..]} stand for a text and for a text
-- that holds a JSON array; a number in them is a row of `blob`, a text is a piece as it is.
CREATE TABLE body(id INTEGER PRIMARY KEY, data TEXT NOT NULL) STRICT;

-- Long texts, once by content. `seen` is the hour of the last span that refers to it.
CREATE TABLE blob(id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, seen INTEGER NOT NULL, data TEXT NOT NULL) STRICT;

CREATE TABLE trace_agent(
  trace INTEGER NOT NULL, agent TEXT NOT NULL, start_ns INTEGER NOT NULL,
  spans INTEGER NOT NULL, errors INTEGER NOT NULL, turns INTEGER NOT NULL, duration_ns INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cost REAL NOT NULL,
  PRIMARY KEY(trace, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX trace_agent_time ON trace_agent(agent, start_ns);

CREATE TABLE trace_tag(
  tag TEXT NOT NULL, start_ns INTEGER NOT NULL, trace INTEGER NOT NULL,
  PRIMARY KEY(tag, start_ns, trace)
) STRICT, WITHOUT ROWID;
CREATE INDEX trace_tag_trace ON trace_tag(trace, tag);

-- Spans that have begun and not ended. Their process tells whether they run or are lost.
CREATE TABLE process(
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, birth TEXT NOT NULL, seen_ns INTEGER NOT NULL,
  UNIQUE(host, pid, birth)
) STRICT;
CREATE TABLE open_span(
  trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL, kind INTEGER NOT NULL,
  agent TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '', start_ns INTEGER NOT NULL, process INTEGER NOT NULL,
  session TEXT, user TEXT, input TEXT, data TEXT NOT NULL,
  PRIMARY KEY(trace_id, span_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_span_start ON open_span(start_ns);

-- What people and programs think of a trace, a span ('' for the whole trace) or a session.
CREATE TABLE score(
  id INTEGER PRIMARY KEY,
  trace_id TEXT NOT NULL DEFAULT '', span_id TEXT NOT NULL DEFAULT '', session TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL, value REAL, label TEXT, comment TEXT,
  source TEXT NOT NULL, author TEXT NOT NULL DEFAULT '', key TEXT NOT NULL DEFAULT '', created_ns INTEGER NOT NULL,
  UNIQUE(trace_id, span_id, session, name, source, author, key)
) STRICT;
CREATE INDEX score_name ON score(name, created_ns);

-- Derived from the above by whoever holds the lease (`meta`); may be deleted at any time.
CREATE TABLE rollup(
  bucket INTEGER NOT NULL, agent TEXT NOT NULL, kind INTEGER NOT NULL, model TEXT NOT NULL, name TEXT NOT NULL,
  spans INTEGER NOT NULL, errors INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cost REAL NOT NULL, duration_ns INTEGER NOT NULL, sketch BLOB NOT NULL,
  PRIMARY KEY(bucket, agent, kind, model, name)
) STRICT, WITHOUT ROWID;
-- The same by days (UTC), for windows of many.
CREATE TABLE rollup_day(
  bucket INTEGER NOT NULL, agent TEXT NOT NULL, kind INTEGER NOT NULL, model TEXT NOT NULL, name TEXT NOT NULL,
  spans INTEGER NOT NULL, errors INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cost REAL NOT NULL, duration_ns INTEGER NOT NULL, sketch BLOB NOT NULL,
  PRIMARY KEY(bucket, agent, kind, model, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE error_group(
  hash TEXT PRIMARY KEY, agent TEXT NOT NULL, name TEXT NOT NULL, error_type TEXT NOT NULL, message TEXT NOT NULL,
  first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, spans INTEGER NOT NULL, last_span INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE text_index USING fts5(text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');

-- For people with other tools.
CREATE VIEW spans AS
SELECT
  t.trace_id, s.span_id, s.parent_id, s.name,
  CASE s.kind WHEN 1 THEN 'workflow' WHEN 2 THEN 'agent' WHEN 3 THEN 'generation' WHEN 4 THEN 'retrieval'
    WHEN 5 THEN 'embedding' WHEN 6 THEN 'rerank' WHEN 7 THEN 'tool' WHEN 8 THEN 'evaluator' WHEN 9 THEN 'guardrail'
    ELSE 'span' END AS kind,
  CASE s.status WHEN 0 THEN 'ok' WHEN 1 THEN 'error' WHEN 2 THEN 'cancelled' WHEN 3 THEN 'interrupted'
    ELSE 'abandoned' END AS status,
  s.agent, s.model, s.provider,
  strftime('%Y-%m-%dT%H:%M:%f', s.start_ns / 1e9, 'unixepoch') AS started,
  s.duration_ns / 1e6 AS duration_ms,
  s.error_type, s.error, s.input_tokens, s.output_tokens, s.cached_tokens, s.reasoning_tokens, s.cost,
  t.session, t.user, r.service, substr(b.data, 1, 4096) AS preview
FROM span s
JOIN trace t ON t.id = s.trace
LEFT JOIN resource r ON r.id = s.resource
LEFT JOIN body b ON b.id = s.id;
