"""Jobs, schedules, sensors and the retrain decision."""
