"""What every analysis and model stands on, for any machine; it imports nothing from the rest of `analysis`.

`database`: range scans as numpy columns. `energy`: energy over time, cut anywhere. `states`: states and phases.
`statistics`: correlation and regression of autocorrelated rows. `series`: what is drawn. `times` and `columns`: the
forms in which times and rows travel. `errors`: what can fail.
"""
