-- A database as version 1 left it: sqlite3's dump, and the application_id a dump leaves out.
PRAGMA application_id=1852797043;
BEGIN TRANSACTION;
CREATE TABLE alarm_changes (
        id INTEGER NOT NULL,
        alarm VARCHAR NOT NULL,
        occurrence INTEGER NOT NULL,
        at INTEGER NOT NULL,
        what VARCHAR NOT NULL,
        "by" VARCHAR NOT NULL,
        why VARCHAR NOT NULL,
        severity VARCHAR NOT NULL,
        PRIMARY KEY (id)
    );
INSERT INTO "alarm_changes" VALUES(1,'osl-gw1/if/ge-0/0/1!link-down',1,1795428060000000,'raised','netopsd','ifOperStatus down for 60 s, seen twice','major');
CREATE TABLE alarms (
        "key" VARCHAR NOT NULL,
        resource_device VARCHAR NOT NULL,
        resource_table VARCHAR NOT NULL,
        resource_row VARCHAR NOT NULL,
        alarm VARCHAR NOT NULL,
        qualifier VARCHAR NOT NULL,
        type VARCHAR NOT NULL,
        severity VARCHAR NOT NULL,
        probable_cause VARCHAR NOT NULL,
        text VARCHAR NOT NULL,
        why VARCHAR NOT NULL,
        phase VARCHAR NOT NULL,
        occurrence INTEGER NOT NULL,
        since INTEGER NOT NULL,
        raised_at INTEGER,
        cleared_at INTEGER,
        changed_at INTEGER NOT NULL,
        source VARCHAR NOT NULL,
        count INTEGER NOT NULL,
        acked_by VARCHAR NOT NULL,
        acked_at INTEGER,
        shelved_until INTEGER,
        shelved_by VARCHAR NOT NULL,
        flapping BOOLEAN NOT NULL,
        flap_weight FLOAT NOT NULL,
        flap_at INTEGER,
        root VARCHAR NOT NULL,
        maintenance VARCHAR NOT NULL,
        PRIMARY KEY ("key")
    );
INSERT INTO "alarms" VALUES('osl-gw1/if/ge-0/0/1!link-down','osl-gw1','if','ge-0/0/1','link-down','','communicationsAlarm','major','lossOfSignal','osl-gw1 ge-0/0/1 is down','ifOperStatus down for 60 s, seen twice','active',1,1795428000000000,1795428060000000,NULL,1795428060000000,'poll',1,'',NULL,NULL,'',0,0.0,NULL,'','');
CREATE TABLE devices (
        name VARCHAR NOT NULL,
        reach VARCHAR NOT NULL,
        since INTEGER,
        missed INTEGER NOT NULL,
        first_missed_at INTEGER,
        answered_at INTEGER,
        boots INTEGER NOT NULL,
        blind VARCHAR NOT NULL,
        PRIMARY KEY (name)
    );
CREATE TABLE disputes (
        id INTEGER NOT NULL,
        kind VARCHAR NOT NULL,
        sink VARCHAR NOT NULL,
        "key" VARCHAR NOT NULL,
        at INTEGER NOT NULL,
        kept VARCHAR NOT NULL,
        refused VARCHAR NOT NULL,
        refused_sha256 VARCHAR NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (kind, sink, "key", refused_sha256)
    );
CREATE TABLE event_batches (
        id INTEGER NOT NULL,
        first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL,
        count INTEGER NOT NULL,
        devices VARCHAR NOT NULL,
        sources VARCHAR NOT NULL,
        names VARCHAR NOT NULL,
        format INTEGER NOT NULL,
        lines BLOB NOT NULL,
        PRIMARY KEY (id)
    );
CREATE TABLE meters (
        service VARCHAR NOT NULL,
        resource VARCHAR NOT NULL,
        resource_device VARCHAR NOT NULL,
        resource_table VARCHAR NOT NULL,
        resource_row VARCHAR NOT NULL,
        at INTEGER NOT NULL,
        in_octets VARCHAR NOT NULL,
        out_octets VARCHAR NOT NULL,
        width INTEGER NOT NULL,
        clock_ticks INTEGER,
        discontinuity FLOAT,
        slot INTEGER NOT NULL,
        slot_in VARCHAR NOT NULL,
        slot_out VARCHAR NOT NULL,
        slot_covered_s FLOAT NOT NULL,
        slot_gaps VARCHAR NOT NULL,
        slot_reconstructed BOOLEAN NOT NULL,
        sequence INTEGER NOT NULL,
        opened_at INTEGER NOT NULL,
        PRIMARY KEY (service, resource)
    );
CREATE TABLE migrations (
        version INTEGER NOT NULL,
        name VARCHAR NOT NULL,
        PRIMARY KEY (version)
    );
INSERT INTO "migrations" VALUES(1,'first');
CREATE TABLE outages (
        id VARCHAR NOT NULL,
        service VARCHAR NOT NULL,
        starts INTEGER NOT NULL,
        ends INTEGER,
        uncertainty_s FLOAT NOT NULL,
        alarms VARCHAR NOT NULL,
        excused_s FLOAT NOT NULL,
        samples INTEGER NOT NULL,
        samples_sha256 VARCHAR NOT NULL,
        why VARCHAR NOT NULL,
        told BOOLEAN NOT NULL,
        PRIMARY KEY (id)
    );
CREATE TABLE outbox (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        sink VARCHAR NOT NULL,
        "key" VARCHAR NOT NULL,
        topic VARCHAR NOT NULL,
        stream VARCHAR NOT NULL,
        body VARCHAR NOT NULL,
        at INTEGER NOT NULL,
        next_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        state VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        head BOOLEAN NOT NULL,
        UNIQUE (sink, "key")
    );
INSERT INTO "outbox" VALUES(1,'office','usage/1','usage.record','A-1','{"number":1}',1795428001000000,1795428001000000,0,'waiting','',1);
CREATE TABLE sequences (
        name VARCHAR NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (name)
    );
INSERT INTO "sequences" VALUES('ticket',1);
CREATE TABLE services (
        service VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        outage VARCHAR NOT NULL,
        PRIMARY KEY (service)
    );
CREATE TABLE sla_periods (
        service VARCHAR NOT NULL,
        period VARCHAR NOT NULL,
        starts INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        target VARCHAR NOT NULL,
        up_s FLOAT NOT NULL,
        down_s FLOAT NOT NULL,
        unknown_s FLOAT NOT NULL,
        excused_s FLOAT NOT NULL,
        burn_told INTEGER NOT NULL,
        tiers_broken INTEGER NOT NULL,
        PRIMARY KEY (service, period)
    );
CREATE TABLE ticket_notes (
        id INTEGER NOT NULL,
        ticket VARCHAR NOT NULL,
        at INTEGER NOT NULL,
        "by" VARCHAR NOT NULL,
        text VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        PRIMARY KEY (id)
    );
CREATE TABLE tickets (
        id VARCHAR NOT NULL,
        cause VARCHAR NOT NULL,
        occurrence INTEGER NOT NULL,
        title VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        severity VARCHAR NOT NULL,
        priority INTEGER NOT NULL,
        services VARCHAR NOT NULL,
        symptoms INTEGER NOT NULL,
        opened_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        resolved_at INTEGER,
        why VARCHAR NOT NULL,
        PRIMARY KEY (id)
    );
INSERT INTO "tickets" VALUES('TT-000001','osl-gw1/if/ge-0/0/1!link-down',1,'link down','acknowledged','major',2,'["acme","\u00f8"]',0,1795428000000000,1795428000000000,NULL,'');
CREATE TABLE usage_records (
        id INTEGER NOT NULL,
        "key" VARCHAR NOT NULL,
        service VARCHAR NOT NULL,
        customer VARCHAR NOT NULL,
        account VARCHAR NOT NULL,
        resource_device VARCHAR NOT NULL,
        resource_table VARCHAR NOT NULL,
        resource_row VARCHAR NOT NULL,
        starts INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        in_octets VARCHAR NOT NULL,
        out_octets VARCHAR NOT NULL,
        covered_s FLOAT NOT NULL,
        completeness VARCHAR NOT NULL,
        gaps VARCHAR NOT NULL,
        reconstructed BOOLEAN NOT NULL,
        sequence INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (id),
        UNIQUE ("key")
    );
INSERT INTO "usage_records" VALUES(1,'acme-internet|osl-gw1/if/ge-0/0/1|octets|1|2|0','acme-internet','acme','A-1','osl-gw1','if','ge-0/0/1',1795428000000000,1795428300000000,'18446744073709551621','7',300.0,'1.0000','[]',0,0,0);
CREATE TABLE violations (
        id VARCHAR NOT NULL,
        service VARCHAR NOT NULL,
        customer VARCHAR NOT NULL,
        account VARCHAR NOT NULL,
        period VARCHAR NOT NULL,
        tier INTEGER NOT NULL,
        below VARCHAR NOT NULL,
        credit_share VARCHAR NOT NULL,
        target VARCHAR NOT NULL,
        availability VARCHAR NOT NULL,
        down_s FLOAT NOT NULL,
        budget_s FLOAT NOT NULL,
        detected_at INTEGER NOT NULL,
        outage VARCHAR NOT NULL,
        outage_starts INTEGER NOT NULL,
        alarms VARCHAR NOT NULL,
        samples_sha256 VARCHAR NOT NULL,
        ticket VARCHAR NOT NULL,
        PRIMARY KEY (id)
    );
CREATE INDEX alarm_changes_alarm ON alarm_changes (alarm, id);
CREATE INDEX alarm_changes_at ON alarm_changes (at);
CREATE INDEX alarms_device ON alarms (resource_device);
CREATE INDEX alarms_open ON alarms (severity) WHERE phase != 'cleared';
CREATE INDEX event_batches_last_at ON event_batches (last_at);
CREATE INDEX outages_open ON outages (id) WHERE ends IS NULL;
CREATE INDEX outages_service ON outages (service, starts);
CREATE INDEX outbox_heads ON outbox (sink, next_at) WHERE head;
CREATE INDEX outbox_parked ON outbox (id) WHERE state = 'parked';
CREATE INDEX outbox_sent ON outbox (id) WHERE state = 'sent';
CREATE INDEX outbox_waiting ON outbox (sink, stream, id) WHERE state = 'waiting';
CREATE INDEX sla_periods_ends ON sla_periods (ends);
CREATE INDEX sla_periods_starts ON sla_periods (starts);
CREATE INDEX ticket_notes_at ON ticket_notes (at);
CREATE INDEX ticket_notes_ticket ON ticket_notes (ticket, id);
CREATE INDEX tickets_cause ON tickets (cause);
CREATE INDEX tickets_status ON tickets (status, opened_at);
CREATE INDEX usage_records_customer ON usage_records (customer, starts);
CREATE INDEX usage_records_service ON usage_records (service, starts);
CREATE INDEX violations_customer ON violations (customer, period);
CREATE INDEX violations_service ON violations (service, period);
COMMIT;
