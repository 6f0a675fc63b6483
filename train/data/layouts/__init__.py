"""Public data sets' own folders, one file for each: name → `Layout`."""

from train.data.layouts import (
    covid_radiography,
    hannover,
    jsrt,
    kermany,
    montgomery,
    nih,
    pakistan,
    rsna,
    shenzhen,
    vindr,
)

MODULES = (shenzhen, montgomery, jsrt, covid_radiography, kermany, nih, rsna, vindr, pakistan, hannover)
LAYOUTS = {module.__name__.rpartition(".")[2]: module.LAYOUT for module in MODULES}
