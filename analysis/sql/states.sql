-- The states that there are, with what each means: class (productive, ready, down, off) and phase.
SELECT s.state_key, s.state, s.class, s.phase FROM states s ORDER BY s.state_key
