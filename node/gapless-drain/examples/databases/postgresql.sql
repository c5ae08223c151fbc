CREATE TABLE steps (run text, step int);

-- Writes five steps, takes its time for each, and commits at the end.
CREATE PROCEDURE close_month(run text) LANGUAGE plpgsql AS $$
BEGIN
  FOR step IN 1..5 LOOP
    INSERT INTO steps VALUES (run, step);
    PERFORM pg_sleep(0.03);
  END LOOP;
  COMMIT;
END $$;

CREATE PROCEDURE close_slowly(run text) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO steps VALUES (run, 1);
  PERFORM pg_sleep(60);
  COMMIT;
END $$;
