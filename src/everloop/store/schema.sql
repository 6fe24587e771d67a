-- What the migrations make on SQLite, in one go: a fresh file needs neither alembic nor SQLAlchemy. A test holds the two equal.

CREATE TABLE records (
    id VARCHAR(80) NOT NULL,
    kind VARCHAR(24) NOT NULL,
    body BLOB NOT NULL,
    created_at DOUBLE NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_records_kind ON records (kind);

CREATE TABLE links (
    child VARCHAR(80) NOT NULL,
    role VARCHAR(40) NOT NULL,
    parent VARCHAR(80) NOT NULL,
    PRIMARY KEY (child, role, parent)
);
CREATE INDEX ix_links_parent ON links (parent);

CREATE TABLE runs (
    id VARCHAR(80) NOT NULL,
    loop VARCHAR(200) NOT NULL,
    pipeline VARCHAR(200) NOT NULL,
    status VARCHAR(16) NOT NULL,
    decision VARCHAR(80) NOT NULL,
    options TEXT NOT NULL,
    queued_at DOUBLE NOT NULL,
    started_at DOUBLE,
    ended_at DOUBLE,
    process VARCHAR(200) NOT NULL,
    error TEXT NOT NULL,
    result TEXT NOT NULL,
    cancelled_by VARCHAR(200) DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX runs_by_loop ON runs (loop, queued_at);
CREATE INDEX runs_by_status ON runs (status);

CREATE TABLE steps (
    run VARCHAR(80) NOT NULL,
    seq INTEGER NOT NULL,
    name VARCHAR(200) NOT NULL,
    "key" VARCHAR(64) NOT NULL,
    status VARCHAR(16) NOT NULL,
    executor VARCHAR(24) NOT NULL,
    started_at DOUBLE NOT NULL,
    ended_at DOUBLE,
    output VARCHAR(80) NOT NULL,
    inputs TEXT NOT NULL,
    because TEXT NOT NULL,
    error TEXT NOT NULL,
    type VARCHAR(40) DEFAULT '' NOT NULL,
    blob VARCHAR(64) DEFAULT '' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    worker VARCHAR(200) DEFAULT '' NOT NULL,
    PRIMARY KEY (run, seq)
);
CREATE INDEX steps_by_name ON steps (name);
CREATE INDEX steps_by_output ON steps (output);

CREATE TABLE cache (
    "key" VARCHAR(64) NOT NULL,
    step VARCHAR(200) NOT NULL,
    type VARCHAR(40) NOT NULL,
    output VARCHAR(80) NOT NULL,
    blob VARCHAR(64) NOT NULL,
    code VARCHAR(64) NOT NULL,
    detail TEXT NOT NULL,
    run VARCHAR(80) NOT NULL,
    created_at DOUBLE NOT NULL,
    PRIMARY KEY ("key")
);
CREATE INDEX cache_by_step ON cache (step, created_at);

CREATE TABLE approvals (
    id VARCHAR(80) NOT NULL,
    loop VARCHAR(200) NOT NULL,
    pipeline VARCHAR(200) NOT NULL,
    run VARCHAR(80) NOT NULL,
    question TEXT NOT NULL,
    about TEXT NOT NULL,
    asked_at DOUBLE NOT NULL,
    deadline DOUBLE,
    policy VARCHAR(16) NOT NULL,
    answer VARCHAR(16) NOT NULL,
    reason TEXT NOT NULL,
    "by" VARCHAR(200) NOT NULL,
    answered_at DOUBLE,
    decision VARCHAR(80) NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX approvals_by_answer ON approvals (answer);

CREATE TABLE slots (
    ticket VARCHAR(80) NOT NULL,
    machine VARCHAR(200) NOT NULL,
    run VARCHAR(80) NOT NULL,
    process VARCHAR(200) NOT NULL,
    cpus DOUBLE NOT NULL,
    gpus DOUBLE NOT NULL,
    memory_mb DOUBLE NOT NULL,
    asked_at DOUBLE NOT NULL,
    granted_at DOUBLE,
    PRIMARY KEY (ticket)
);
CREATE INDEX slots_by_machine ON slots (machine);

CREATE TABLE pins (
    id VARCHAR(80) NOT NULL,
    reason TEXT NOT NULL,
    "by" VARCHAR(200) NOT NULL,
    at DOUBLE NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE stamps (
    path TEXT NOT NULL,
    stamp VARCHAR(120) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    seen_at DOUBLE NOT NULL,
    PRIMARY KEY (path)
);

CREATE TABLE versions (
    loop VARCHAR(200) NOT NULL,
    number INTEGER NOT NULL,
    version VARCHAR(80) NOT NULL,
    candidate VARCHAR(80) NOT NULL,
    model VARCHAR(64) NOT NULL,
    run VARCHAR(80) NOT NULL,
    tracker_run VARCHAR(80) NOT NULL,
    created_at DOUBLE NOT NULL,
    PRIMARY KEY (loop, number),
    UNIQUE (loop, version)
);

CREATE TABLE deployments (
    loop VARCHAR(200) NOT NULL,
    champion INTEGER,
    previous INTEGER,
    challenger INTEGER,
    stage VARCHAR(16) NOT NULL,
    share DOUBLE NOT NULL,
    since DOUBLE NOT NULL,
    champion_since DOUBLE NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (loop)
);

CREATE TABLE decisions (
    seq INTEGER NOT NULL,
    at DOUBLE NOT NULL,
    loop VARCHAR(200) NOT NULL,
    rule VARCHAR(200) NOT NULL,
    action VARCHAR(40) NOT NULL,
    outcome VARCHAR(16) NOT NULL,
    reason TEXT NOT NULL,
    about TEXT NOT NULL,
    evidence TEXT NOT NULL,
    actor VARCHAR(200) NOT NULL,
    previous VARCHAR(64) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (hash)
);
CREATE INDEX decisions_by_rule ON decisions (loop, rule, seq);

CREATE TABLE mentions (
    seq INTEGER NOT NULL,
    about VARCHAR(120) NOT NULL,
    PRIMARY KEY (about, seq)
);

CREATE TABLE labels (
    prediction VARCHAR(80) NOT NULL,
    loop VARCHAR(200) NOT NULL,
    value TEXT NOT NULL,
    at DOUBLE NOT NULL,
    PRIMARY KEY (prediction)
);
CREATE INDEX labels_by_loop ON labels (loop, at);

CREATE TABLE cursors (
    loop VARCHAR(200) NOT NULL,
    name VARCHAR(200) NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (loop, name)
);

CREATE TABLE pages (
    decision VARCHAR(80) NOT NULL,
    sink VARCHAR(80) NOT NULL,
    loop VARCHAR(200) NOT NULL,
    delivered_at DOUBLE,
    tries INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (decision, sink)
);

CREATE TABLE datasets (
    name VARCHAR(200) NOT NULL,
    project TEXT NOT NULL,
    owner VARCHAR(200) NOT NULL,
    description TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE takes (
    dataset VARCHAR(200) NOT NULL,
    number INTEGER NOT NULL,
    snapshot VARCHAR(80) NOT NULL,
    mode VARCHAR(16) NOT NULL,
    at DOUBLE NOT NULL,
    seen_at DOUBLE NOT NULL,
    "by" VARCHAR(200) NOT NULL,
    project TEXT NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    new_bytes BIGINT NOT NULL,
    PRIMARY KEY (dataset, number)
);
CREATE INDEX takes_by_snapshot ON takes (snapshot);

CREATE TABLE aliases (
    dataset VARCHAR(200) NOT NULL,
    alias VARCHAR(80) NOT NULL,
    snapshot VARCHAR(80) NOT NULL,
    at DOUBLE NOT NULL,
    "by" VARCHAR(200) NOT NULL,
    PRIMARY KEY (dataset, alias)
);

CREATE TABLE queues (
    name VARCHAR(200) NOT NULL,
    snapshot VARCHAR(80) NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE queue_items (
    queue VARCHAR(200) NOT NULL,
    "row" VARCHAR(80) NOT NULL,
    position BIGINT,
    rank BIGINT NOT NULL,
    votes INTEGER NOT NULL,
    skips INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    PRIMARY KEY (queue, "row")
);
CREATE INDEX queue_items_by_rank ON queue_items (queue, state, rank);

CREATE TABLE queue_holds (
    queue VARCHAR(200) NOT NULL,
    "row" VARCHAR(80) NOT NULL,
    person VARCHAR(200) NOT NULL,
    taken_at DOUBLE NOT NULL,
    until DOUBLE NOT NULL,
    PRIMARY KEY (queue, "row", person)
);

CREATE TABLE annotations (
    queue VARCHAR(200) NOT NULL,
    seq BIGINT NOT NULL,
    "row" VARCHAR(80) NOT NULL,
    person VARCHAR(200) NOT NULL,
    action VARCHAR(16) NOT NULL,
    value TEXT NOT NULL,
    reason TEXT NOT NULL,
    seconds DOUBLE,
    at DOUBLE NOT NULL,
    token VARCHAR(80) NOT NULL,
    undoes BIGINT,
    origin VARCHAR(16) NOT NULL,
    PRIMARY KEY (queue, seq),
    UNIQUE (queue, token)
);
CREATE INDEX annotations_by_row ON annotations (queue, "row", person);
CREATE INDEX annotations_by_person ON annotations (queue, person, seq);
CREATE INDEX annotations_by_undoes ON annotations (queue, undoes);

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version (version_num) VALUES ('0004');
