CREATE TABLE steps (run varchar(40), step int) ENGINE=InnoDB;

DELIMITER //

-- Writes five steps, takes its time for each, and commits at the end.
CREATE PROCEDURE close_month(run varchar(40))
BEGIN
  DECLARE step int DEFAULT 1;
  START TRANSACTION;
  WHILE step <= 5 DO
    INSERT INTO steps VALUES (run, step);
    DO SLEEP(0.03);
    SET step = step + 1;
  END WHILE;
  COMMIT;
END //

CREATE PROCEDURE close_slowly(run varchar(40))
BEGIN
  START TRANSACTION;
  INSERT INTO steps VALUES (run, 1);
  -- A sleep ends early when nobody waits for its end any more.
  IF SLEEP(60) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'interrupted';
  END IF;
  COMMIT;
END //

DELIMITER ;
