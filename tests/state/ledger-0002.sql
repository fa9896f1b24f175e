BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE alias (
	level VARCHAR NOT NULL, 
	old_id VARCHAR NOT NULL, 
	new_id VARCHAR NOT NULL, 
	since INTEGER NOT NULL, 
	PRIMARY KEY (level, old_id)
);
INSERT INTO "alias" VALUES('plant','old','4711001',1795420800);
CREATE TABLE budget (
	credential VARCHAR NOT NULL, 
	shard VARCHAR NOT NULL, 
	learned INTEGER, 
	spent VARCHAR NOT NULL, 
	saved_at FLOAT NOT NULL, 
	PRIMARY KEY (credential, shard)
);
CREATE TABLE device (
	device_id VARCHAR NOT NULL, 
	plant_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	type VARCHAR, 
	product VARCHAR, 
	product_id INTEGER, 
	vendor VARCHAR, 
	serial VARCHAR, 
	generator_power FLOAT, 
	is_active BOOLEAN NOT NULL, 
	deactivated_at VARCHAR, 
	first_seen INTEGER NOT NULL, 
	last_seen INTEGER NOT NULL, 
	PRIMARY KEY (device_id)
);
INSERT INTO "device" VALUES('4711007','4711001','STP 10',NULL,NULL,NULL,NULL,'123',10000.0,1,NULL,1795420800,1795420800);
INSERT INTO "device" VALUES('4711001','4711001','Gateway',NULL,NULL,NULL,NULL,NULL,NULL,0,'2025-01-01T00:00:00',1795420800,1795420800);
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('lake_id','00000000-0000-4000-8000-000000000001');
INSERT INTO "meta" VALUES('week_rule','date');
CREATE TABLE month (
	series_id INTEGER NOT NULL, 
	month INTEGER NOT NULL, 
	days BLOB NOT NULL, 
	PRIMARY KEY (series_id, month)
)
 WITHOUT ROWID

;
INSERT INTO "month" VALUES(1,24321,X'0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000021012D01210121012101210121012101');
INSERT INTO "month" VALUES(1,24322,X'21012101');
CREATE TABLE open_day (
	series_id INTEGER NOT NULL, 
	day INTEGER NOT NULL, 
	failed BOOLEAN NOT NULL, 
	attempts INTEGER NOT NULL, 
	rows INTEGER NOT NULL, 
	asked_at INTEGER NOT NULL, 
	next_at INTEGER NOT NULL, 
	reason VARCHAR, part INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (series_id, day)
)
 WITHOUT ROWID

;
INSERT INTO "open_day" VALUES(3,20777,1,1,0,1795420800,1795421700,'404, unknown here',0);
INSERT INTO "open_day" VALUES(3,20779,0,0,120,1795420800,1795471200,NULL,0);
CREATE TABLE order_share (
	order_id INTEGER NOT NULL, 
	shard VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	planned INTEGER DEFAULT '0' NOT NULL, 
	advanced INTEGER DEFAULT '0' NOT NULL, 
	exit_code INTEGER, 
	result VARCHAR, 
	changed_at INTEGER NOT NULL, 
	PRIMARY KEY (order_id, shard)
);
CREATE TABLE owner (
	owner VARCHAR NOT NULL, 
	grant VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	since INTEGER NOT NULL, 
	requested_at INTEGER, 
	seen_at INTEGER, 
	look_at INTEGER, 
	expires_at INTEGER, 
	purged_at INTEGER, 
	occasion INTEGER, 
	PRIMARY KEY (owner)
);
CREATE TABLE owner_plant (
	plant_id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	certain BOOLEAN NOT NULL, 
	since INTEGER NOT NULL, 
	PRIMARY KEY (plant_id, owner)
);
CREATE TABLE period_read (
	series_id INTEGER NOT NULL, 
	period VARCHAR NOT NULL, 
	start INTEGER NOT NULL, 
	failed BOOLEAN NOT NULL, 
	attempts INTEGER NOT NULL, 
	asked_at INTEGER NOT NULL, 
	next_at INTEGER, 
	reason VARCHAR, 
	PRIMARY KEY (series_id, period, start)
)
 WITHOUT ROWID

;
CREATE TABLE plant (
	plant_id VARCHAR NOT NULL, 
	ordinal INTEGER NOT NULL, 
	part INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	timezone VARCHAR NOT NULL, 
	peak_power FLOAT, 
	start_up INTEGER, 
	latitude FLOAT, 
	longitude FLOAT, 
	first_seen INTEGER NOT NULL, 
	last_seen INTEGER NOT NULL, 
	withdrawn_at INTEGER, 
	explored_at INTEGER, 
	missing_since INTEGER, 
	missing_count INTEGER DEFAULT '0' NOT NULL, 
	traced_at INTEGER, 
	moved_to VARCHAR, 
	PRIMARY KEY (plant_id), 
	UNIQUE (ordinal)
);
INSERT INTO "plant" VALUES('4711001',0,0,'Plant 4711001','Europe/Berlin',9800.0,1635897600,51.3,9.5,1795420800,1795420800,NULL,1795420800,NULL,0,NULL,NULL);
INSERT INTO "plant" VALUES('4711002',1,0,'Plant 4711002','Asia/Kolkata',9800.0,1635897600,51.3,9.5,1795420800,1795420800,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "plant" VALUES('4711003',2,1,'Plant 4711003','America/New_York',9800.0,1635897600,51.3,9.5,1795420800,1795420800,NULL,NULL,NULL,0,NULL,NULL);
CREATE TABLE purge (
	purge_id INTEGER NOT NULL, 
	owner VARCHAR NOT NULL, 
	plants VARCHAR NOT NULL, 
	begun_at INTEGER NOT NULL, 
	done_at INTEGER, 
	done VARCHAR NOT NULL, 
	PRIMARY KEY (purge_id)
);
CREATE TABLE secret (
	owner VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	sealed BLOB NOT NULL, 
	sealed_at INTEGER NOT NULL, 
	PRIMARY KEY (owner, name)
);
CREATE TABLE series (
	series_id INTEGER NOT NULL, 
	part INTEGER NOT NULL, 
	plant_id VARCHAR NOT NULL, 
	device_id VARCHAR NOT NULL, 
	"set" VARCHAR NOT NULL, 
	first_seen INTEGER NOT NULL, 
	gone_at INTEGER, 
	minutes INTEGER, 
	newest INTEGER, 
	lag INTEGER, known_from INTEGER, known_until INTEGER, 
	PRIMARY KEY (series_id), 
	UNIQUE (plant_id, device_id, "set")
);
INSERT INTO "series" VALUES(1,0,'4711001','','EnergyBalance',1795420800,NULL,5,1795420800,130,NULL,NULL);
INSERT INTO "series" VALUES(2,0,'4711001','4711007','EnergyAndPowerPv',1795420800,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "series" VALUES(3,0,'4711001','4711007','PowerAc',1795420800,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE work_order (
	order_id INTEGER NOT NULL, 
	command VARCHAR NOT NULL, 
	arguments VARCHAR NOT NULL, 
	placed_at INTEGER NOT NULL, 
	placed_by VARCHAR NOT NULL, 
	withdrawn BOOLEAN DEFAULT '0' NOT NULL, 
	PRIMARY KEY (order_id)
);
CREATE INDEX ix_plant_part ON plant (part);
CREATE INDEX ix_device_plant_id ON device (plant_id);
CREATE INDEX ix_series_part ON series (part);
CREATE INDEX ix_series_known ON series (plant_id, "set", known_until, known_from, gone_at, device_id);
CREATE INDEX ix_open_day_part_next_at ON open_day (part, next_at);
COMMIT;
