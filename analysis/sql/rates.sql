-- Tariff and carbon factor of each piece of the range (seconds since 1970); NULL where there is none.
SELECT extract(epoch FROM r.t0)::float8 AS t0, extract(epoch FROM r.t1)::float8 AS t1,
       r.price_per_kwh, r.currency, r.g_co2_per_kwh
FROM rates_between(%(factory)s::uuid, 'electricity', %(from)s, %(to)s) r
ORDER BY r.t0
