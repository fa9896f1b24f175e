-- The lake as views, for DuckDB 2.0 or newer (earlier ones lack `allow_empty`; README.md has what works there).
--
--     SET VARIABLE lake = '/var/lib/harvester/lake';   -- default: the lake of config/harvester.toml
--     .read storage/duckdb.sql
--
-- Each view has every documented column, whether its files have it or not, and answers with no row while it has no
-- file. Channels that no document tells of follow after the documented ones; tables of sets that no document tells
-- of are read with `FROM lake_table('device_...')`. In a database file the views stay, the variable does not: set it
-- in every session.

SET VARIABLE lake = coalesce(getvariable('lake'), 'storage/data/lake');
SET TimeZone = 'UTC';

CREATE OR REPLACE MACRO lake_table(name) AS TABLE
SELECT * FROM read_parquet(
    getvariable('lake') || '/' || name || '/date=*/part-*.parquet',
    union_by_name = true, hive_partitioning = true, hive_types = {'date': DATE}, allow_empty = true
);

CREATE OR REPLACE MACRO lake_years(name) AS TABLE
SELECT * FROM read_parquet(
    getvariable('lake') || '/' || name || '/year=*/part-*.parquet',
    union_by_name = true, hive_partitioning = true, hive_types = {'year': BIGINT}, allow_empty = true
);

CREATE OR REPLACE MACRO lake_master(name) AS TABLE
SELECT * FROM read_parquet(
    getvariable('lake') || '/' || name || '/part-*.parquet', union_by_name = true, allow_empty = true
);

-- Measurements and their revisions: one file of each day and part.

CREATE OR REPLACE VIEW plant_energy_balance AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::TIMESTAMPTZ AS time, NULL::TIMESTAMP AS local_time,
        NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS pv_generation, NULL::DOUBLE AS direct_consumption,
        NULL::DOUBLE AS total_consumption, NULL::DOUBLE AS battery_charging,
        NULL::DOUBLE AS battery_discharging, NULL::DOUBLE AS battery_state_of_charge,
        NULL::DOUBLE AS diesel_generation, NULL::DOUBLE AS combined_heat_and_power_generation,
        NULL::DOUBLE AS hydro_generation, NULL::DOUBLE AS grid_feed_in, NULL::DOUBLE AS grid_consumption,
        NULL::DOUBLE AS total_generation, NULL::DOUBLE AS self_consumption, NULL::DOUBLE AS self_supply,
        NULL::DOUBLE AS autarky_rate, NULL::DOUBLE AS self_consumption_rate, NULL::VARCHAR AS other,
        NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('plant_energy_balance')
);

CREATE OR REPLACE VIEW plant_grid_settings AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::TIMESTAMPTZ AS time, NULL::TIMESTAMP AS local_time,
        NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS set_point_feed_in_power,
        NULL::DOUBLE AS set_point_reactive_power, NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at,
        NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('plant_grid_settings')
);

CREATE OR REPLACE VIEW device_energy_and_power_pv AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS pv_generation,
        NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_and_power_pv')
);

CREATE OR REPLACE VIEW device_energy_and_power_battery AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS battery_charging,
        NULL::DOUBLE AS battery_discharging, NULL::DOUBLE AS battery_state_of_charge,
        NULL::DOUBLE AS battery_state_of_health, NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at,
        NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_and_power_battery')
);

CREATE OR REPLACE VIEW device_energy_and_power_battery_by_index AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::VARCHAR AS index,
        NULL::DOUBLE AS battery_state_of_charge_array, NULL::DOUBLE AS battery_state_of_health_array,
        NULL::DOUBLE AS battery_voltage, NULL::DOUBLE AS battery_current, NULL::DOUBLE AS battery_temperature,
        NULL::DOUBLE AS current_battery_charging_set_voltage, NULL::TIMESTAMPTZ AS harvested_at,
        NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_and_power_battery_by_index')
);

CREATE OR REPLACE VIEW device_energy_and_power_consumption AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS consumption,
        NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_and_power_consumption')
);

CREATE OR REPLACE VIEW device_energy_and_power_in_out AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS grid_feed_in,
        NULL::DOUBLE AS grid_consumption, NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at,
        NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_and_power_in_out')
);

CREATE OR REPLACE VIEW device_energy_dc AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::VARCHAR AS other,
        NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_dc')
);

CREATE OR REPLACE VIEW device_energy_dc_by_index AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::VARCHAR AS index,
        NULL::DOUBLE AS dc_energy_input, NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_dc_by_index')
);

CREATE OR REPLACE VIEW device_energy_mix AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS pv_consumption_rate,
        NULL::DOUBLE AS battery_consumption_rate, NULL::DOUBLE AS grid_consumption_rate,
        NULL::DOUBLE AS total_consumption, NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at,
        NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_energy_mix')
);

CREATE OR REPLACE VIEW device_power_ac AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS voltage_phase_a,
        NULL::DOUBLE AS voltage_phase_b, NULL::DOUBLE AS voltage_phase_c, NULL::DOUBLE AS voltage_phase_a2b,
        NULL::DOUBLE AS voltage_phase_b2c, NULL::DOUBLE AS voltage_phase_c2a, NULL::DOUBLE AS current_phase_a,
        NULL::DOUBLE AS current_phase_b, NULL::DOUBLE AS current_phase_c, NULL::DOUBLE AS active_power_phase_a,
        NULL::DOUBLE AS active_power_phase_b, NULL::DOUBLE AS active_power_phase_c,
        NULL::DOUBLE AS active_power, NULL::DOUBLE AS reactive_power_phase_a,
        NULL::DOUBLE AS reactive_power_phase_b, NULL::DOUBLE AS reactive_power_phase_c,
        NULL::DOUBLE AS reactive_power, NULL::DOUBLE AS apparent_power_phase_a,
        NULL::DOUBLE AS apparent_power_phase_b, NULL::DOUBLE AS apparent_power_phase_c,
        NULL::DOUBLE AS apparent_power, NULL::DOUBLE AS grid_frequency,
        NULL::DOUBLE AS displacement_power_factor, NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at,
        NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_power_ac')
);

CREATE OR REPLACE VIEW device_power_dc AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS isolation_resistance,
        NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_power_dc')
);

CREATE OR REPLACE VIEW device_power_dc_by_index AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::VARCHAR AS index,
        NULL::DOUBLE AS dc_power_input, NULL::DOUBLE AS dc_voltage_input, NULL::DOUBLE AS dc_current_input,
        NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_power_dc_by_index')
);

CREATE OR REPLACE VIEW device_sensor AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id, NULL::TIMESTAMPTZ AS time,
        NULL::TIMESTAMP AS local_time, NULL::SMALLINT AS interval_minutes, NULL::DOUBLE AS external_insolation,
        NULL::DOUBLE AS ambient_temperature, NULL::DOUBLE AS module_temperature, NULL::DOUBLE AS wind_speed,
        NULL::VARCHAR AS other, NULL::TIMESTAMPTZ AS harvested_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('device_sensor')
);

CREATE OR REPLACE VIEW revisions AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS "table", NULL::VARCHAR AS plant_id, NULL::VARCHAR AS device_id,
        NULL::TIMESTAMPTZ AS time, NULL::VARCHAR AS index, NULL::VARCHAR AS channel, NULL::DOUBLE AS old,
        NULL::DOUBLE AS new, NULL::TIMESTAMPTZ AS known_at, NULL::DATE AS date
    WHERE false
    UNION ALL BY NAME FROM lake_table('revisions')
);

-- Energies of days and months, one file of each year and part, and of years, one file of each part.

CREATE OR REPLACE VIEW plant_energy_balance_daily AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::DATE AS period_start, NULL::DOUBLE AS pv_generation,
        NULL::DOUBLE AS direct_consumption, NULL::DOUBLE AS total_consumption, NULL::DOUBLE AS battery_charging,
        NULL::DOUBLE AS battery_discharging, NULL::DOUBLE AS diesel_generation,
        NULL::DOUBLE AS combined_heat_and_power_generation, NULL::DOUBLE AS hydro_generation,
        NULL::DOUBLE AS grid_feed_in, NULL::DOUBLE AS grid_consumption, NULL::DOUBLE AS total_generation,
        NULL::DOUBLE AS self_consumption, NULL::DOUBLE AS self_supply, NULL::DOUBLE AS autarky_rate,
        NULL::DOUBLE AS self_consumption_rate, NULL::BOOLEAN AS provisional, NULL::VARCHAR AS other,
        NULL::TIMESTAMPTZ AS harvested_at, NULL::BIGINT AS year
    WHERE false
    UNION ALL BY NAME FROM lake_years('plant_energy_balance_daily')
);

CREATE OR REPLACE VIEW plant_energy_balance_monthly AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::DATE AS period_start, NULL::DOUBLE AS pv_generation,
        NULL::DOUBLE AS direct_consumption, NULL::DOUBLE AS total_consumption, NULL::DOUBLE AS battery_charging,
        NULL::DOUBLE AS battery_discharging, NULL::DOUBLE AS diesel_generation,
        NULL::DOUBLE AS combined_heat_and_power_generation, NULL::DOUBLE AS hydro_generation,
        NULL::DOUBLE AS grid_feed_in, NULL::DOUBLE AS grid_consumption, NULL::DOUBLE AS total_generation,
        NULL::DOUBLE AS self_consumption, NULL::DOUBLE AS self_supply, NULL::DOUBLE AS autarky_rate,
        NULL::DOUBLE AS self_consumption_rate, NULL::BOOLEAN AS provisional, NULL::VARCHAR AS other,
        NULL::TIMESTAMPTZ AS harvested_at, NULL::BIGINT AS year
    WHERE false
    UNION ALL BY NAME FROM lake_years('plant_energy_balance_monthly')
);

CREATE OR REPLACE VIEW plant_energy_balance_yearly AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::DATE AS period_start, NULL::DOUBLE AS pv_generation,
        NULL::DOUBLE AS direct_consumption, NULL::DOUBLE AS total_consumption, NULL::DOUBLE AS battery_charging,
        NULL::DOUBLE AS battery_discharging, NULL::DOUBLE AS diesel_generation,
        NULL::DOUBLE AS combined_heat_and_power_generation, NULL::DOUBLE AS hydro_generation,
        NULL::DOUBLE AS grid_feed_in, NULL::DOUBLE AS grid_consumption, NULL::DOUBLE AS total_generation,
        NULL::DOUBLE AS self_consumption, NULL::DOUBLE AS self_supply, NULL::DOUBLE AS autarky_rate,
        NULL::DOUBLE AS self_consumption_rate, NULL::BOOLEAN AS provisional, NULL::VARCHAR AS other,
        NULL::TIMESTAMPTZ AS harvested_at
    WHERE false
    UNION ALL BY NAME FROM lake_master('plant_energy_balance_yearly')
);

-- Master data: one file of each table.

CREATE OR REPLACE VIEW plants AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS plant_id, NULL::VARCHAR AS name, NULL::VARCHAR AS timezone, NULL::DOUBLE AS peak_power,
        NULL::TIMESTAMPTZ AS start_up, NULL::DOUBLE AS latitude, NULL::DOUBLE AS longitude,
        NULL::TIMESTAMPTZ AS first_seen, NULL::TIMESTAMPTZ AS last_seen, NULL::TIMESTAMPTZ AS withdrawn_at
    WHERE false
    UNION ALL BY NAME FROM lake_master('plants')
);

CREATE OR REPLACE VIEW devices AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS device_id, NULL::VARCHAR AS plant_id, NULL::VARCHAR AS name, NULL::VARCHAR AS type,
        NULL::VARCHAR AS product, NULL::BIGINT AS product_id, NULL::VARCHAR AS vendor, NULL::VARCHAR AS serial,
        NULL::DOUBLE AS generator_power, NULL::BOOLEAN AS is_active, NULL::TIMESTAMP AS deactivated_at,
        NULL::TIMESTAMPTZ AS first_seen, NULL::TIMESTAMPTZ AS last_seen
    WHERE false
    UNION ALL BY NAME FROM lake_master('devices')
);

CREATE OR REPLACE VIEW aliases AS
SELECT COLUMNS(lambda c: c <> 'empty') FROM (
    SELECT
        NULL::VARCHAR AS level, NULL::VARCHAR AS old_id, NULL::VARCHAR AS new_id, NULL::TIMESTAMPTZ AS since
    WHERE false
    UNION ALL BY NAME FROM lake_master('aliases')
);

-- Examples.

-- Energy of each plant and plant-local day, in kWh: W x minutes / 60 = Wh. Null where no row had a value; minutes
-- are what was measured, 1440 on a whole day, 1380 and 1500 when the clocks change.
CREATE OR REPLACE VIEW example_daily_energy AS
SELECT
    plant_id,
    date,
    sum(pv_generation * interval_minutes) / 60e3 AS generated_kwh,
    sum(grid_feed_in * interval_minutes) / 60e3 AS fed_in_kwh,
    sum(grid_consumption * interval_minutes) / 60e3 AS drawn_kwh,
    sum(total_consumption * interval_minutes) / 60e3 AS consumed_kwh,
    sum(interval_minutes) AS minutes
FROM plant_energy_balance
GROUP BY plant_id, date;

-- The latest row of each plant.
CREATE OR REPLACE VIEW example_latest AS
SELECT * FROM plant_energy_balance
QUALIFY row_number() OVER (PARTITION BY plant_id ORDER BY time DESC) = 1;

-- Specific yield of each PV inverter and day, in kWh per kW of nominal power.
CREATE OR REPLACE VIEW example_specific_yield AS
SELECT
    m.plant_id,
    m.device_id,
    any_value(d.name) AS name,
    m.date,
    sum(m.pv_generation * m.interval_minutes) / 60 / any_value(d.generator_power) AS kwh_per_kw
FROM device_energy_and_power_pv AS m
JOIN devices AS d USING (plant_id, device_id)
WHERE d.generator_power > 0
GROUP BY m.plant_id, m.device_id, m.date;
