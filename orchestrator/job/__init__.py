"""What a job is: files, defaults and command-line settings become one frozen `Job`."""
