"""An emulated 3D-printer fleet: printers, smart plugs and a sensor hub that speak their real protocols over real
sockets.
"""
