-- psql "$DATABASE_URL" -f schema.sql
CREATE TABLE IF NOT EXISTS books (month date NOT NULL, step int NOT NULL, release text);

-- A second for each step; whole, or not at all.
CREATE OR REPLACE PROCEDURE close_month(month date, steps int, release text)
LANGUAGE plpgsql AS $$
BEGIN
  FOR step IN 1..steps LOOP
    INSERT INTO books VALUES (month, step, release);
    PERFORM pg_sleep(1);
  END LOOP;
END $$;
