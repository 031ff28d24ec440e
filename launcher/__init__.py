"""The launcher behind `./enms`: installs, starts, watches and stops one ENMS stack. Python standard library only."""
