CREATE TABLE closed (month text, step int, whole boolean DEFAULT false);
CREATE TABLE reminders (pid int, step int);

-- Takes its time, writes step by step, and commits at the end.
CREATE PROCEDURE close_month(month text) LANGUAGE plpgsql AS $$
BEGIN
  FOR step IN 1..4 LOOP
    INSERT INTO closed VALUES (month, step);
    PERFORM pg_sleep(0.1);
  END LOOP;
  INSERT INTO closed VALUES (month, 5, true);
END $$;

CREATE PROCEDURE send_reminders(pid int) LANGUAGE plpgsql AS $$
BEGIN
  FOR step IN 1..3 LOOP
    INSERT INTO reminders VALUES (pid, step);
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
