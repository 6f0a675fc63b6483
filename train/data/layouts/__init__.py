"""Public data sets' own folders, one file for each, NIH's samples in one: name → `Layout`."""

from train.data.layouts import (
    chexpert,
    covid_cxnet,
    covid_radiography,
    covidx,
    hannover,
    jsrt,
    kermany,
    mimic_cxr,
    montgomery,
    nih,
    padchest,
    pakistan,
    rsna,
    shenzhen,
    tbx11k,
    vindr,
)

MODULES = (shenzhen, montgomery, jsrt, covid_radiography, kermany, rsna, vindr, pakistan, hannover, covid_cxnet)
MODULES += (chexpert, mimic_cxr, padchest, tbx11k, covidx)
LAYOUTS = {module.__name__.rpartition(".")[2]: module.LAYOUT for module in MODULES} | nih.LAYOUTS
