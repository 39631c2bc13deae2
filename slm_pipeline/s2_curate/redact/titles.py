"""Rules for titles before names and jobs beside them."""

import re

from slm_pipeline.s2_curate.redact.rules import Rule, Text

_JOB_WORDS = (
    "accountant actor actuary administrator advisor agent aide analyst announcer appraiser architect artist assembler assistant "
    "attendant auditor author baker barber bartender bookkeeper broker buyer carpenter cashier chauffeur chef chemist cleaner "
    "clerk coach collector conductor consultant cook coordinator counselor curator custodian dealer decorator dentist designer "
    "detective developer director dispatcher doctor drafter driver economist editor educator electrician engineer estimator "
    "examiner executive farmer fighter fisher geologist guard guide hairdresser handler helper host inspector installer instructor "
    "interpreter interviewer investigator janitor jeweler judge keeper laborer lawyer librarian lineman machinist maker manager "
    "mason mechanic merchant messenger midwife miller miner model musician nurse nutritionist officer operator optician painter "
    "paralegal paramedic pharmacist photographer physician physicist pilot planner plumber porter practitioner president processor "
    "producer professor programmer psychologist publicist receptionist recruiter repairer reporter representative researcher "
    "sailor salesperson scientist secretary setter sociologist specialist steward strategist superintendent supervisor surgeon "
    "surveyor tailor teacher technician technologist teller tender therapist trader trainer translator treasurer tutor typist "
    "underwriter veterinarian waiter waitress welder worker writer "
)
JOBS = _JOB_WORDS.split()
BEFORE_JOB = re.compile(r"(?:\A|\n)[^\S\n]?(?:[^\W\d_][^\W\d_.'’\-]+ ){1,3}[^\W\d_][^\W\d_.'’\-]+\.?\n\Z")


def _under_name(text: Text, start: int, end: int) -> bool:
    """Alone on its line, under a line of two to four words that are written alike, as on a card: all with capitals, or none."""
    above = BEFORE_JOB.search(text[max(0, start - 60) : start])
    if not above or text[end : end + 1] != "\n":
        return False
    words = above[0].split()
    return all(w[0].isupper() for w in words) or all(w[0].islower() for w in words)


RULES = (
    Rule(
        "TITLE",
        r"\b((?:Mrs?|Ms|Dr|Prof|mrs?|ms|dr|prof|MRS?|MS|DR)\.|Miss|Mrs?|Ms|Dr) \p{L}",
        group=1,
        needs=("mr", "ms", "dr", "prof", "miss"),
    ),
    Rule(
        "TITLE",
        r", the (\p{L}[\p{L},\- ]{2,60}), (?:said|says|told|explained|added)\b",
        group=1,
        needs=("said", "says", "told", "explained", "added"),
    ),
    Rule("TITLE", rf"(?:^|\n)((?:\p{{L}}[\p{{L}},/\-]* ){{0,8}}(?i:{'|'.join(JOBS)}))", _under_name, group=1, needs=("\n",)),
)
