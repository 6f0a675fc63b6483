"""Where the data sets that `train.prepare` knows were published first, and on what terms."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a data set was published first.

    title: what it is called.
    about: a sentence or two on who is in it and what to beware of.
    citation: of those who made it.
    licence: in words.
    hub_licence: the Hub's name of that licence, or `other`.
    link: where it was published, with its terms.
    may_be_handed_on: whether its terms let others publish copies. If not, only a private copy is sent to the Hub.
    """

    title: str
    about: str
    citation: str
    licence: str
    hub_licence: str
    link: str
    may_be_handed_on: bool


ORIGINS = {
    "shenzhen": Origin(
        title="Shenzhen chest X-ray set",
        about="Adults of Shenzhen No. 3 Hospital, with and without tuberculosis; lungs drawn by hand for a part.",
        citation="Jaeger et al. 2014, Quantitative Imaging in Medicine and Surgery 4(6); Stirenko et al. 2018 (masks).",
        licence="U.S. National Library of Medicine, public with citation",
        hub_licence="other",
        link="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/Shenzhen-Hospital-CXR-Set/index.html",
        may_be_handed_on=True,
    ),
    "montgomery": Origin(
        title="Montgomery County chest X-ray set",
        about="Adults of Montgomery County's tuberculosis control programme, with lungs drawn by hand.",
        citation="Jaeger et al. 2014, Quant Imaging Med Surg 4(6); Candemir et al. 2014, IEEE Trans Med Imaging 33(2).",
        licence="U.S. National Library of Medicine, public with citation",
        hub_licence="other",
        link="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/Montgomery-County-CXR-Set/MontgomerySet/index.html",
        may_be_handed_on=True,
    ),
    "jsrt": Origin(
        title="JSRT database with the SCR lungs",
        about="Adults with and without a lung nodule; `normal` is without one, whatever else there is. "
        "Raw files are PNG here, bone white.",
        citation="Shiraishi et al. 2000, AJR 174(1); van Ginneken et al. 2006, Medical Image Analysis 10(1) (masks).",
        licence="for research, from the Japanese Society of Radiological Technology on request",
        hub_licence="other",
        link="http://db.jsrt.or.jp/eng.php",
        may_be_handed_on=False,
    ),
    "covid_radiography": Origin(
        title="COVID-19 Radiography Database",
        about="Collected from many sources; each class comes from others, so figures on it measure the source too.",
        citation="Chowdhury et al. 2020, IEEE Access 8; Rahman et al. 2021, Computers in Biology and Medicine 132.",
        licence="that of each of its sources",
        hub_licence="other",
        link="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
        may_be_handed_on=False,
    ),
    "kermany": Origin(
        title="Kermany pneumonia set",
        about="Children of 1 to 5 years, Guangzhou Women and Children's Medical Centre, with and without pneumonia.",
        citation="Kermany et al. 2018, Cell 172(5); Mendeley Data, doi 10.17632/rscbjbr9sj.",
        licence="CC BY 4.0",
        hub_licence="cc-by-4.0",
        link="https://doi.org/10.17632/rscbjbr9sj",
        may_be_handed_on=True,
    ),
}
