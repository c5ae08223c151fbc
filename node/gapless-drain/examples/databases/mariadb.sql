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

-- It tells of each step: a row that cannot be sent ends it, and MariaDB rolls back.
CREATE PROCEDURE close_slowly(run varchar(40))
BEGIN
  DECLARE step int DEFAULT 1;
  START TRANSACTION;
  WHILE step <= 600 DO
    INSERT INTO steps VALUES (run, step);
    SELECT step;
    DO SLEEP(0.1);
    SET step = step + 1;
  END WHILE;
  COMMIT;
END //

DELIMITER ;
