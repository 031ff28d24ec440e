"""What the cross-module tests share: a client of the running stack, a simulated fleet, publishers and real servers."""
