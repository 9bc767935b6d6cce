"""The command port as a bridge serves it: `commands` over the rows and over the process."""
