-- One table of the lake as an external table of Snowflake, over a copy in a bucket. Not run by the tests.
-- SMA_LAKE is an external stage over the folder of the copy. Add the columns that you need: README.md lists them.
-- Columns that a file lacks are null. Refresh after each copy.

CREATE FILE FORMAT IF NOT EXISTS sma_parquet TYPE = PARQUET USE_LOGICAL_TYPE = TRUE;

CREATE OR REPLACE EXTERNAL TABLE plant_energy_balance (
    date DATE AS TO_DATE(REGEXP_SUBSTR(METADATA$FILENAME, 'date=([0-9-]+)', 1, 1, 'e', 1)),
    plant_id VARCHAR AS (VALUE:plant_id::VARCHAR),
    time TIMESTAMP_TZ AS (VALUE:time::TIMESTAMP_TZ),
    local_time TIMESTAMP_NTZ AS (VALUE:local_time::TIMESTAMP_NTZ),
    interval_minutes NUMBER(5, 0) AS (VALUE:interval_minutes::NUMBER(5, 0)),
    pv_generation FLOAT AS (VALUE:pv_generation::FLOAT),
    grid_feed_in FLOAT AS (VALUE:grid_feed_in::FLOAT),
    grid_consumption FLOAT AS (VALUE:grid_consumption::FLOAT),
    harvested_at TIMESTAMP_TZ AS (VALUE:harvested_at::TIMESTAMP_TZ)
)
PARTITION BY (date)
LOCATION = @SMA_LAKE/plant_energy_balance/
PATTERN = '.*part-[0-9]+[.]parquet'
FILE_FORMAT = (FORMAT_NAME = 'sma_parquet')
AUTO_REFRESH = FALSE;

ALTER EXTERNAL TABLE plant_energy_balance REFRESH;
