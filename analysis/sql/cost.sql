-- What the device took in the range, what that cost and how much CO2 it made: Σ energy × the rate of its time.
SELECT c.energy_wh, c.cost, c.currency, c.co2_g
FROM device_energy_cost(%(device)s, %(from)s, %(to)s) c
