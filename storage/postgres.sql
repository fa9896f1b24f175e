-- Loads one table of the lake into PostgreSQL, run by DuckDB 2.0 or newer after duckdb.sql:
--
--     duckdb -init storage/duckdb.sql < storage/postgres.sql
--
-- Run it as often as you like: it takes the days that changed since the last time, each as a whole, in one
-- transaction. (A day more than that: an answer reaches the lake somewhat later than `harvested_at` says.) For another table put its name in the place of plant_energy_balance. Where a purge removed rows from
-- the lake, drop the table first and load it anew.

ATTACH '' AS warehouse (TYPE postgres);  -- the connection of PGHOST, PGDATABASE, PGUSER and PGPASSFILE

BEGIN;

CREATE TABLE IF NOT EXISTS warehouse.plant_energy_balance AS FROM plant_energy_balance WHERE false;

SET VARIABLE loaded = (
    SELECT coalesce(max(harvested_at) - INTERVAL 1 DAY, '-infinity') FROM warehouse.plant_energy_balance
);
SET VARIABLE changed = (
    SELECT coalesce(list(DISTINCT date), []::DATE[]) FROM plant_energy_balance
    WHERE harvested_at > getvariable('loaded')
);

DELETE FROM warehouse.plant_energy_balance WHERE list_contains(getvariable('changed'), date);
INSERT INTO warehouse.plant_energy_balance BY NAME
FROM plant_energy_balance WHERE list_contains(getvariable('changed'), date);

COMMIT;
