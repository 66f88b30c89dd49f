-- From version 1 to 2: which spans have links is known without their content, and there are roll-ups by days. What is
-- derived is made anew.
ALTER TABLE span ADD COLUMN links INTEGER NOT NULL DEFAULT 0;
UPDATE span SET links = 1 WHERE id IN (SELECT id FROM body WHERE instr(data, '"links":') > 0);
CREATE TABLE rollup_day(
  bucket INTEGER NOT NULL, agent TEXT NOT NULL, kind INTEGER NOT NULL, model TEXT NOT NULL, name TEXT NOT NULL,
  spans INTEGER NOT NULL, errors INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cost REAL NOT NULL, duration_ns INTEGER NOT NULL, sketch BLOB NOT NULL,
  PRIMARY KEY(bucket, agent, kind, model, name)
) STRICT, WITHOUT ROWID;
DELETE FROM rollup;
DELETE FROM error_group;
DELETE FROM meta WHERE key = 'rollup_span';
