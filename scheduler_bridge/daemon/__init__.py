"""What `fo_scheduler` does beyond `up`: a daemon of one installation, with FOSSology's signals, log and user."""
