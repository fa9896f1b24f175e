-- One table of the lake as an external table of BigQuery, over a copy in Cloud Storage. Not run by the tests.
-- DATASET and BUCKET are yours; for another table put its name in the place of plant_energy_balance.
--
-- BigQuery takes the columns of the file that comes last by name, which is a newest one: run this again after new
-- channels have appeared. Master data (plants, devices, aliases) have no partition: leave out the lines that tell
-- of one.

CREATE OR REPLACE EXTERNAL TABLE DATASET.plant_energy_balance
WITH PARTITION COLUMNS (date DATE)
OPTIONS (
    format = 'PARQUET',
    uris = ['gs://BUCKET/lake/plant_energy_balance/*'],
    hive_partition_uri_prefix = 'gs://BUCKET/lake/plant_energy_balance'
);

-- Energy of each plant and plant-local day, in kWh.
SELECT plant_id, date, SUM(pv_generation * interval_minutes) / 60000 AS kwh
FROM DATASET.plant_energy_balance
WHERE date >= DATE_SUB(CURRENT_DATE(), INTERVAL 7 DAY)
GROUP BY plant_id, date
ORDER BY plant_id, date;
