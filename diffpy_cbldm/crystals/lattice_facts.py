"""Lattice parameters of common compounds, and how far they are verified."""

from __future__ import annotations

LATTICES: dict[tuple[str, str], tuple[float, ...]] = {
    ("rock salt", "MgO"): (4.2112,),
    ("rock salt", "CaO"): (4.8105,),
    ("rock salt", "NiO"): (4.1769,),
    ("rock salt", "CoO"): (4.2667,),
    ("rock salt", "MnO"): (4.4457,),
    ("rock salt", "FeO"): (4.3070,),
    ("rock salt", "NaCl"): (5.6402,),
    ("rock salt", "PbS"): (5.9362,),
    ("rock salt", "PbSe"): (6.1243,),
    ("rock salt", "TePb"): (6.4603,),
    ("rock salt", "TiN"): (4.2417,),
    ("zincblende", "ZnS"): (5.4093,),
    ("zincblende", "ZnSe"): (5.6676,),
    ("zincblende", "ZnTe"): (6.1026,),
    ("zincblende", "CdS"): (5.8320,),
    ("zincblende", "CdSe"): (6.0500,),
    ("zincblende", "CdTe"): (6.4805,),
    ("zincblende", "HgTe"): (6.4600,),
    ("zincblende", "GaAs"): (5.6533,),
    ("zincblende", "InP"): (5.8687,),
    ("zincblende", "InAs"): (6.0584,),
    ("wurtzite", "ZnO"): (3.2498, 5.2066),
    ("wurtzite", "ZnS"): (3.8230, 6.2605),
    ("wurtzite", "CdS"): (4.1348, 6.7490),
    ("wurtzite", "CdSe"): (4.2990, 7.0100),
    ("wurtzite", "GaN"): (3.1890, 5.1850),
    ("CsCl", "CsCl"): (4.1230,),
    ("fluorite", "CeO2"): (5.4117,),
    ("fluorite", "ZrO2"): (5.0900,),
    ("fluorite", "UO2"): (5.4682,),
    ("fluorite", "CaF2"): (5.4626,),
    ("cuprite", "Cu2O"): (4.2696,),
    ("cuprite", "Ag2O"): (4.7200,),
    ("rutile", "TiO2"): (4.5937, 2.9587),
    ("rutile", "SnO2"): (4.7374, 3.1864),
    ("rutile", "RuO2"): (4.4968, 3.1049),
    ("rutile", "IrO2"): (4.5051, 3.1586),
    ("rutile", "MnO2"): (4.3960, 2.8710),
    ("anatase", "TiO2"): (3.7845, 9.5143),
    ("brookite", "TiO2"): (9.1740, 5.4490, 5.1380),
    ("corundum", "Al2O3"): (4.7589, 12.9910),
    ("corundum", "Fe2O3"): (5.0340, 13.7520),
    ("corundum", "Cr2O3"): (4.9590, 13.5959),
    ("spinel", "Fe3O4"): (8.3940,),
    ("spinel", "Co3O4"): (8.0835,),
    ("spinel", "MgAl2O4"): (8.0800,),
    ("spinel", "Fe2CoO4"): (8.3919,),
    ("spinel", "Fe2O3"): (8.3474,),
    ("perovskite", "SrTiO3"): (3.9050,),
    ("perovskite", "BaTiO3"): (4.0060,),
    ("L1_0", "FePt"): (2.7240, 3.7130),
    ("L1_0", "CoPt"): (2.6910, 3.6840),
    ("L1_2", "Cu3Au"): (3.7480,),
    ("L1_2", "FePt3"): (3.8660,),
}
"""Lattice parameters at room temperature, A: the edges that are free.

Wyckoff (1963 to 1971); CeO2 and Cr2O3: NIST standard reference material 674b;
SnO2, RuO2 and IrO2: Bolzan et al., Acta Cryst. B 53, 373 (1997); oxides of
iron: Cornell and Schwertmann, The Iron Oxides (2003); III-V and II-VI
compounds: Madelung, Semiconductors: Data Handbook (2004); brookite: Meagher
and Lager (1979).

All but `UNVERIFIED` were compared with a second source and agree within
0.6 %: pymatgen's AFLOW prototypes, files of crystals of Avogadro 2, Dans
Diffraction and crystals, calibrants of pyFAI, materials of xrayutilities.
"""

UNVERIFIED = frozenset(
    {
        ("zincblende", "ZnSe"),
        ("zincblende", "ZnTe"),
        ("zincblende", "HgTe"),
        ("CsCl", "CsCl"),
        ("cuprite", "Ag2O"),
        ("spinel", "Fe2O3"),
        ("L1_0", "CoPt"),
        ("L1_2", "FePt3"),
    }
)
"""Of these lattices no second source was found, or it differs by more: CsCl
by 1.1 and Ag2O by 0.8 %."""
