"""Densities of filaments, for files whose slicer states none."""

DENSITIES = {
    "PLA": 1.24,
    "PETG": 1.27,
    "PET": 1.27,
    "ABS": 1.04,
    "ASA": 1.07,
    "PC": 1.20,
    "PA": 1.12,
    "NYLON": 1.12,
    "TPU": 1.21,
    "FLEX": 1.21,
    "TPE": 1.21,
    "PP": 0.90,
    "HIPS": 1.04,
    "PVA": 1.23,
    "BVOH": 1.14,
    "PVB": 1.09,
    "CPE": 1.27,
    "PEEK": 1.30,
    "PEI": 1.27,
    "POM": 1.41,
}
"""In g/cm3. PLA, PETG, ABS, ASA, PC, PA, TPU/FLEX, PP, HIPS, PVA, PVB: the values of Prusa Research's public filament
profiles and data sheets (Prusament PLA 1.24, PETG 1.27, ASA 1.07, PC Blend 1.22 and its PC profiles 1.20, PVB 1.09);
CPE as PETG (a copolyester); BVOH 1.14 (Verbatim data sheet); PEEK 1.30 (Victrex 450G), PEI 1.27 (SABIC ULTEM 1010),
POM 1.41 (DuPont Delrin)."""

DEFAULT = "PLA"
DIAMETER = 1.75  # mm, where the file names none


def density(filament_type: str | None) -> tuple[float, str | None]:
    """Returns (g/cm3, material) of the longest known material in a filament's name, (that of PLA, None) without one."""
    words = (filament_type or "").upper().replace("-", " ").replace("+", " ").replace("_", " ")
    for name in sorted(DENSITIES, key=len, reverse=True):
        if words.startswith(name) or f" {name}" in f" {words}":
            return DENSITIES[name], name
    return DENSITIES[DEFAULT], None
