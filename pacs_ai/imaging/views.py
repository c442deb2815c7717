"""The codes of View Code Sequence (PS3.16 CID 4010), in SNOMED CT and in SRT: the frontal views and the others."""

FRONTAL_CODES = {
    *("272479007", "R-10214", "R-40888"),  # postero-anterior
    *("399348003", "R-10206"),  # antero-posterior
    *("399033003", "R-10202"),  # frontal
}
# All the others; "tissue specimen", which stands there too, is no view of a patient.
OTHER_VIEW_CODES = {
    *("399067008", "R-102CD"),  # lateral
    *("399173006", "R-10236"),  # left lateral
    *("399198007", "R-10232"),  # right lateral
    *("399352003", "R-10228"),  # lateral-medial
    *("399260004", "R-10224"),  # medial-lateral
    *("30730003", "G-A145"),  # sagittal
    *("399182000", "R-102C1"),  # oblique
    *("399184004", "R-10238"),  # left oblique
    *("399236003", "R-10234"),  # right oblique
    *("399135007", "R-10220"),  # left anterior oblique
    *("399356000", "R-40985"),  # right anterior oblique
    *("399006002", "R-10212"),  # left posterior oblique
    *("399038007", "R-10210"),  # right posterior oblique
    *("399059000", "R-10216"),  # postero-anterior oblique
    *("399312000", "R-10208"),  # antero-posterior oblique
    *("399160007", "R-10204"),  # frontal oblique
    *("399132005", "R-10252"),  # frontal-oblique axial
    *("399325008", "R-10254"),  # sagittal-oblique axial
    *("399004004", "R-10246"),  # oblique axial
    *("399225005", "R-10250"),  # oblique caudo-cranial
    *("399288005", "R-10248"),  # oblique cranio-caudal
    *("399099002", "R-10230"),  # latero-medial oblique
    *("399368009", "R-10226"),  # medio-lateral oblique
    *("260427002", "R-40783"),  # lateral oblique
    *("260426006", "R-40782"),  # medial oblique
    *("399061009", "R-10241"),  # axial
    *("399162004", "R-10242"),  # cranio-caudal
    *("399196006", "R-10244"),  # caudo-cranial
    *("399110001", "R-102C2"),  # tangential
    *("399335002", "R-102C4"),  # dorsoplantar
    *("399071006", "R-102C3"),  # plantodorsal
    *("399242004", "R-102C6"),  # acanthioparietal
    *("399272005", "R-102C5"),  # parietoacanthial
    *("399351005", "R-102C7"),  # orbitoparietal
    *("399316002", "R-102C8"),  # parieto-orbital
    *("399255003", "R-10256"),  # submentovertical
    *("399360002", "R-10257"),  # verticosubmental
    *("260499007", "R-40810"),  # occlusal
}
