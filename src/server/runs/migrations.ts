/**
 * The tables of the run store, version by version: a new file goes through all of it, an older one through the rest.
 * What stands here has been released and is not changed; a change of the tables is one more entry.
 */

// Configurations, metrics and event bodies are JSON. `number` orders the runs by creation.
const version1 = `
  CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    request_id TEXT UNIQUE,
    request_digest TEXT NOT NULL,
    state TEXT NOT NULL,
    config TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    start_time INTEGER,
    end_time INTEGER,
    progress TEXT,
    evaluation TEXT,
    status_message TEXT NOT NULL,
    last_sequence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    checkpoints TEXT NOT NULL
  ) STRICT;
  CREATE INDEX runs_by_state ON runs (state);
  CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    time INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, sequence)
  ) STRICT, WITHOUT ROWID;
`;

/**
 * Runs that pause and resume. `queue_order` orders those that wait: of one that was interrupted it stays, so that it
 * goes on first. Events before `earliest_sequence` were thinned out. Older runs get the defaults of what they lack.
 */
const version2 = `
  ALTER TABLE runs ADD COLUMN queue_order INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN evaluation_step INTEGER;
  ALTER TABLE runs ADD COLUMN resumes_itself INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN earliest_sequence INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE runs ADD COLUMN last_time INTEGER NOT NULL DEFAULT 0;
  UPDATE runs SET
    queue_order = number,
    evaluation_step = (SELECT max(step) FROM events WHERE run = id AND body ->> 'kind' = 'evaluation'),
    last_time = coalesce((SELECT max(time) FROM events WHERE run = id), create_time),
    config = json_set(config, '$.checkpointEverySteps', 1000, '$.checkpointsKept', 2, '$.maxRetries', 2),
    checkpoints = (SELECT json_group_array(json_set(value, '$.best', json('false'))) FROM json_each(checkpoints));
  UPDATE events SET body = json_set(body, '$.best', json('false'), '$.kept', json_array(body ->> '$.checkpoint.path'))
    WHERE body ->> 'kind' = 'checkpoint';
  UPDATE events SET body = json_set(body, '$.firstStep', windows.previous + 1)
    FROM (
      SELECT run, sequence, lag(step, 1, 0) OVER (PARTITION BY run ORDER BY sequence) AS previous
      FROM events WHERE body ->> 'kind' = 'progress'
    ) AS windows
    WHERE events.run = windows.run AND events.sequence = windows.sequence;
`;

/** The entry at an index leads to the version one higher (SQLite's user_version). */
export const migrations: readonly string[] = [version1, version2];
