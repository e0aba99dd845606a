"""The cast of `webapp.dev.demo`: who they are, and how many days before the present what happened to them."""

from __future__ import annotations

from datetime import timedelta

from webapp.domain.lifecycle import DeviceStatus, OperatingSystem, Role
from webapp.services.devices import NewDevice

COLLEAGUE = "grace_lim@tech.gov.sg"
"""The admin who was there from the first day. She shares the office with whoever runs the demo."""
SECOND_ADMIN = "rachel_lim@tech.gov.sg"
AUDITOR = "vignesh_kumar@tech.gov.sg"

WAITING: dict[str, tuple[bool | None, float]] = {
    # An address: whether SEED is asked for (None where the agency's people cannot have it), and how long ago.
    "chia_wen_hao@ica.gov.sg": (True, 9.1),
    "tan_wei_ling@moe.gov.sg": (True, 8.3),
    "rosnah_bte_jaafar@hdb.gov.sg": (False, 7.2),
    "nurul_aisyah@moh.gov.sg": (False, 6.4),
    "kumar_rajan@lta.gov.sg": (True, 5.6),
    "Lim_Jia_Hui@hdb.gov.sg": (False, 4.9),
    "balakrishnan_s@acra.gov.sg": (True, 4.1),
    "siti_nurhaliza@schools.gov.sg": (None, 3.8),
    "ong_kai_xiang@iras.gov.sg": (True, 3.2),
    "phua_sze_min@moe.gov.sg": (False, 2.7),
    "priya_nair@nea.gov.sg": (False, 2.1),
    "farhan_idris@moh.gov.sg": (True, 1.8),
    "goh_zhi_wei@ura.gov.sg": (False, 1.4),
    "muhammad_hafiz@ica.gov.sg": (True, 1.2),
    "Joanne_CHONG@tech.gov.sg": (True, 0.95),
    "chua_mei_fang@cpf.gov.sg": (False, 0.8),
    "gan_poh_suan@nea.gov.sg": (False, 0.3),
    "deepa_krishnan@mof.gov.sg": (True, 0.2),
    "teo_boon_kiat@mom.gov.sg": (False, 0.05),
    "loke_yan_ting@lta.gov.sg": (True, 0.012),
    "irfan_zainal@moh.gov.sg": (False, 0.004),
}
NOT_YET_ACCEPTED = {
    "sng_jia_en@tech.gov.sg": (False, 0.06),
    "devi_ramasamy@moe.gov.sg": (False, 0.11),
    "lee_hui_min@moe.gov.sg": (False, 1.2),
    "ahmad_faizal@lta.gov.sg": (True, 2.6),
    "wong_shu_ting@hdb.gov.sg": (False, 4.1),
    "anand_pillai@moh.gov.sg": (False, 6.8),
    "koh_yi_xuan@iras.gov.sg": (True, 9.3),
    "nur_syafiqah@nea.gov.sg": (False, 12.9),
    "chan_wai_kit@ura.gov.sg": (False, 16.2),
    "suresh_menon@tech.gov.sg": (True, 19.7),
    # From here on a reminder came each day.
    "ng_xiu_li@mom.gov.sg": (False, 24.4),
    "faridah_ismail@ica.gov.sg": (False, 25.8),
    "low_jun_hao@schools.gov.sg": (None, 27.1),
    "kavitha_subramaniam@cpf.gov.sg": (True, 28.3),
    "yeo_pei_shan@mof.gov.sg": (False, 29.2),
}
ACTIVE = {
    "Alvin_TAN@tech.gov.sg": (True, 41.0),
    "rachel_lim@tech.gov.sg": (True, 40.2),
    "vignesh_kumar@tech.gov.sg": (False, 39.8),
    "haslinda_osman@moe.gov.sg": (True, 39.1),
    "ho_jing_wen@moe.gov.sg": (False, 36.7),
    "daniel_ng@cpf.gov.sg": (False, 35.2),
    "sharifah_aminah@hdb.gov.sg": (True, 33.6),
    "toh_kok_leong@hdb.gov.sg": (False, 31.4),
    "meera_iyer@iras.gov.sg": (False, 29.9),
    "zulkifli_rahman@lta.gov.sg": (True, 27.5),
    "cheryl_ong@lta.gov.sg": (False, 25.1),
    "foo_wei_jie@mom.gov.sg": (False, 23.8),
    "nadia_yusof@moh.gov.sg": (True, 21.3),
    "gopal_raman@moh.gov.sg": (False, 18.6),
    "sim_li_ting@nea.gov.sg": (False, 16.9),
    "ibrahim_salleh@ura.gov.sg": (True, 14.2),
    "seah_min_hui@ica.gov.sg": (False, 11.7),
    "lakshmi_devi@mof.gov.sg": (True, 9.4),
    "quek_hong_yi@schools.gov.sg": (None, 7.8),
    "aisha_binte_omar@tech.gov.sg": (True, 5.6),
    "jeremy_chia@tech.gov.sg": (False, 3.7),
    "pang_su_yin@iras.gov.sg": (True, 2.9),
    "quek_mei_qi@nea.gov.sg": (False, 13.0),
    "koo_ee_ling@cpf.gov.sg": (True, 34.4),
    "prakash_raj@moe.gov.sg": (True, 26.3),
    "heng_shu_fen@hdb.gov.sg": (True, 15.4),
    "wan_azizah@tech.gov.sg": (False, 1.8),
    "norliza_ahmad@acra.gov.sg": (True, 9.2),
    "tham_kah_wai@acra.gov.sg": (False, 21.9),
}
PROFILES = {
    # Who gave a name once the account was active, and where they work.
    COLLEAGUE: ("Grace", "Lim Hui Fang", "Identity Services"),
    SECOND_ADMIN: ("Rachel", "Lim Xin Yi", "Identity Services"),
    AUDITOR: ("Vignesh", "Kumar", "Internal Audit"),
    "Alvin_TAN@tech.gov.sg": ("Alvin", "Tan Jun Wei", "Cloud Platforms"),
    "haslinda_osman@moe.gov.sg": ("Haslinda", "Binte Osman", "Parents Gateway"),
    "daniel_ng@cpf.gov.sg": ("Daniel", "Ng Kah Hoe", "Member Services"),
    "zulkifli_rahman@lta.gov.sg": ("Zulkifli", "Bin Rahman", "Traffic Systems"),
    "gopal_raman@moh.gov.sg": ("Gopal", "Raman", "Health Analytics"),
    "sim_li_ting@nea.gov.sg": ("Li Ting", "Sim", "Weather Services"),
    "koo_ee_ling@cpf.gov.sg": ("Ee Ling", "Koo", "Housing Schemes"),
    "lakshmi_devi@mof.gov.sg": ("Lakshmi", "Devi", "Budget Systems"),
}
SEED_WAITS = {
    # TechPass was approved and SEED not yet: promised three business days later, some of them over.
    "norliza_ahmad@acra.gov.sg",
    "aisha_binte_omar@tech.gov.sg",
    "pang_su_yin@iras.gov.sg",
    "ahmad_faizal@lta.gov.sg",
}
SEED_REJECTED = {
    "sharifah_aminah@hdb.gov.sg": "Your team works on GSIB laptops only. Ask again once you have an internet device.",
    "nadia_yusof@moh.gov.sg": "The device named in your project’s list is enrolled by the vendor.",
}
DEVICES = {
    # Days ago; then hours later, as the MDM system reported. What it does not know begins with 0000: the stand-in of
    # `./run` leaves it alone, so that it can be looked at.
    "Alvin_TAN@tech.gov.sg": (
        38.0,
        NewDevice("Alvin’s ThinkPad", OperatingSystem.WINDOWS, "PF3A9K7L", "00005a1e-7c3d-4f6b-9a20-5d1c8e4b7f30"),
        [],  # Never heard of, and removed after 14 days.
    ),
    "rachel_lim@tech.gov.sg": (
        37.5,
        NewDevice("MacBook Pro 14", OperatingSystem.MACOS, "C02ZN4PLMD6R", "3f8c2a7d-91be-4d05-8a6c-1e7b40d9f3a2"),
        [(0.8, DeviceStatus.SOFTWARE_INSTALLED, ""), (1.5, DeviceStatus.ONBOARDED, "")],
    ),
    "haslinda_osman@moe.gov.sg": (
        36.5,
        NewDevice("Surface Laptop", OperatingSystem.WINDOWS, "010233704157", "b27e6d19-4c8a-4e37-bf51-90a3c7d2e684"),
        [
            (0.6, DeviceStatus.FAILED, "Device is not compliant: the disk is not encrypted with BitLocker."),
            (20.0, DeviceStatus.SOFTWARE_INSTALLED, ""),
            (20.9, DeviceStatus.ONBOARDED, ""),
        ],
    ),
    "koo_ee_ling@cpf.gov.sg": (
        30.2,
        NewDevice("ThinkPad X1", OperatingSystem.WINDOWS, "PF41B7QX", "c41d7e02-58f6-4b3a-9d17-2e6a80b5f9c3"),
        [(0.9, DeviceStatus.SOFTWARE_INSTALLED, ""), (2.2, DeviceStatus.ONBOARDED, "")],
    ),
    "prakash_raj@moe.gov.sg": (
        20.4,
        NewDevice("MacBook Pro 16", OperatingSystem.MACOS, "C02FK1TZMD6T", "e90a3b6c-17d4-4c82-b5ef-6f0d29c8a741"),
        [(0.5, DeviceStatus.SOFTWARE_INSTALLED, ""), (1.1, DeviceStatus.ONBOARDED, "")],
    ),
    "heng_shu_fen@hdb.gov.sg": (
        8.6,
        NewDevice("HP EliteBook", OperatingSystem.WINDOWS, "5CG1234KLM", "7b52f8d1-e36a-4d90-8c14-a95e03d7b628"),
        [(1.4, DeviceStatus.SOFTWARE_INSTALLED, ""), (3.0, DeviceStatus.ONBOARDED, "")],
    ),
    "zulkifli_rahman@lta.gov.sg": (
        6.2,
        NewDevice("MacBook Air", OperatingSystem.MACOS, "FVFGK3C1Q6L7", "00007b94-2e1f-4a83-8d6e-3c5f9b0a1d72"),
        [(1.1, DeviceStatus.FAILED, "Software installation error occurred while onboarding.")],
    ),
    "ibrahim_salleh@ura.gov.sg": (
        3.1,
        NewDevice("Dell Latitude", OperatingSystem.WINDOWS, "7XK2QY3", "0000e85c-6f02-4b19-a3d7-8b4e1c6f2a95"),
        [],
    ),
    "lakshmi_devi@mof.gov.sg": (
        1.4,
        NewDevice("Work MacBook", OperatingSystem.MACOS, "C02DV8XHP3XY", "00002d47-8a5b-4c91-b6f0-7e3d9c1a4b58"),
        [(0.7, DeviceStatus.SOFTWARE_INSTALLED, "")],
    ),
}
REJECTED = {
    "loh_cheng_soon@nea.gov.sg": (False, 33.0, "This is a shared mailbox. Sign up with your own address."),
    "ravi_shankar@mof.gov.sg": (True, 22.5, "Your agency’s records show that you left in September."),
    "azlan_hamid@hdb.gov.sg": (False, 15.1, "Your project does not use SGTS yet. Sign up again when it starts."),
    "tay_siew_kheng@moe.gov.sg": (False, 8.3, "You signed up twice; your other request was approved."),
    "bala_chandran@ica.gov.sg": (True, 2.4, "We could not confirm with your supervisor that you need it."),
}
NEVER_ACCEPTED = {
    "chew_eng_huat@mom.gov.sg": (False, 37.9),  # Deleted since.
    "noraini_kassim@cpf.gov.sg": (False, 34.3),
    "sanjay_gupta@lta.gov.sg": (True, 33.1),
    "liew_ah_kow@ura.gov.sg": (False, 32.2),
    "hema_malini@iras.gov.sg": (False, 31.6),
}
SIGNED_UP_AGAIN = "sanjay_gupta@lta.gov.sg"
INSISTENT = ("nurul_aisyah@moh.gov.sg", "anand_pillai@moh.gov.sg", "foo_wei_jie@mom.gov.sg")
"""They signed up a second time, and were told by mail where they stand."""
ASKED_AGAIN = ("koh_yi_xuan@iras.gov.sg", "kavitha_subramaniam@cpf.gov.sg")
"""They asked for the invitation a second time."""
BROKEN_OFF = ("chan_wai_kit@ura.gov.sg", "faridah_ismail@ica.gov.sg")
"""They began onboarding and went home."""
UNKNOWN = {
    # Whose agency nobody has added, and the days on which people of it tried.
    "spf.gov.sg": (20.3, 14.1, 13.9, 8.2, 5.7, 3.4, 0.6),
    "nlb.gov.sg": (16.5, 9.9, 2.2, 1.1),
    "stb.gov.sg": (14.4, 4.8),
    "muis.gov.sg": (0.4,),
}
ADDED_AGENCY = ("acra.gov.sg", "Accounting and Corporate Regulatory Authority")
"""People knocked, and were let in: tried ``TRIED_DAYS`` ago, added `ADDED_DAYS` ago."""
TRIED_DAYS, ADDED_DAYS = (26.2, 25.6, 24.7), 24.2
DISMISSED = "moe-edu.gov.sg"
DISMISSED_TRIES = (6.3, 6.2)
"""A domain that there is not: somebody mistyped it, and an admin dismissed it."""

SEED_LATER = {
    # Active people who asked for SEED from their profile.
    "vignesh_kumar@tech.gov.sg": 8.6,
    "meera_iyer@iras.gov.sg": 3.6,
    "jeremy_chia@tech.gov.sg": 1.6,
    "quek_mei_qi@nea.gov.sg": 0.5,
}
PROJECT_AGENCY = "mom.gov.sg"
PROJECT_HOUR = timedelta(hours=10, minutes=40)
"""When, 30 days ago, a whole project was invited in one go. It was called off, nobody accepted, and all of them are due
at that time of today or yesterday: more than the clock may end without asking (rule 8.7)."""
_GIVEN = ("aaron", "belinda", "chandra", "dewi", "edwin", "fiona", "gavin", "hui_ying", "imran", "jasmine", "kenneth")
_FAMILY = ("tan", "lee", "rahim", "pillai", "goh", "yap")
PROJECT = [f"{given}_{family}@{PROJECT_AGENCY}" for family in _FAMILY for given in _GIVEN][:58]

ROLES = {
    SECOND_ADMIN: (Role.ADMIN, 32.6, "Covers approvals while the first admin is on leave."),
    AUDITOR: (Role.AUDITOR, 27.4, "Yearly review of access by internal audit."),
}
ADMINS_DO = [
    # Days ago, what, to whom, and why: see `webapp.dev.demo_admins`. Reasons stay on record, and name nobody.
    (21.2, "hold", "ho_jing_wen@moe.gov.sg", "Secondment under review by the agency."),
    (18.4, "release", "ho_jing_wen@moe.gov.sg", "The agency has confirmed the secondment."),
    (13.5, "terminate", "daniel_ng@cpf.gov.sg", "Left the public service."),
    (12.3, "disable", "toh_kok_leong@hdb.gov.sg", "On no-pay leave until next year, asked for by the agency."),
    (9.2, "disable", "cheryl_ong@lta.gov.sg", "Laptop reported stolen."),
    (8.1, "enable", "cheryl_ong@lta.gov.sg", "Laptop replaced, incident closed."),
    (4.6, "hold", "gopal_raman@moh.gov.sg", "Incident SIR-2231 is being looked into."),
    (3.6, "extend", "faridah_ismail@ica.gov.sg", "On medical leave, back in two weeks."),
    (3.3, "terminate", "seah_min_hui@ica.gov.sg", "Moved to another agency and has a new address there."),
    (2.2, "reset_authenticator", "meera_iyer@iras.gov.sg", "Phone lost; identity confirmed on a video call."),
    (1.9, "resend", "wong_shu_ting@hdb.gov.sg", "The first mail was caught by the agency’s filter."),
    (1.6, "extend", "yeo_pei_shan@mof.gov.sg", "On course until the end of the month."),
    (1.4, "hold", "kavitha_subramaniam@cpf.gov.sg", "Mailbox is full; the agency looks into it."),
    (0.45, "hold", "sharifah_aminah@hdb.gov.sg", "Duplicate account reported by the agency."),
    (0.35, "release", "sharifah_aminah@hdb.gov.sg", "Not a duplicate: two people of one name."),
]
LOCKED = ("sim_li_ting@nea.gov.sg", 1.2)
"""She was mailed about a log-in that was not hers, and said so (rule 6.4)."""
UNDONE = [
    # Decided and taken back within the ten seconds: days ago, whose TechPass, and the reason of a rejection.
    (0.9, "goh_zhi_wei@ura.gov.sg", "You have a TechPass with another address."),
    (0.15, "chua_mei_fang@cpf.gov.sg", ""),
]
ASKED = [
    # Days ago, whose TechPass, the question; days ago, the answer.
    (
        7.1,
        "tan_wei_ling@moe.gov.sg",
        "Which SGTS service does your team use, and who is the project’s lead?",
        6.8,
        "We deploy the Parents Gateway backend on SHIP-HATS.\nOur deputy director leads it, and can confirm this.",
    ),
    (5.9, "rosnah_bte_jaafar@hdb.gov.sg", "Your signature says “intern”. Until when is your attachment?", None, ""),
    (
        2.6,
        "Lim_Jia_Hui@hdb.gov.sg",
        "Do you still need this now that your team shares a service account?",
        0.25,
        "Yes: audit asked us to stop sharing it by December.",
    ),
    (0.6, "ong_kai_xiang@iras.gov.sg", "Is the device yours, or enrolled by your vendor?", None, ""),
]
NOTES = [
    # Days ago, which admin, about whom, what.
    (20.9, COLLEAGUE, "ho_jing_wen@moe.gov.sg", "Spoke to the agency’s HR: the letter of secondment comes on Monday."),
    (12.2, COLLEAGUE, "toh_kok_leong@hdb.gov.sg", "Enable again in January without asking; see the agency’s mail."),
    (6.1, SECOND_ADMIN, "tan_wei_ling@moe.gov.sg", "Answer looks right. Waiting for the lead’s word."),
    (5.2, SECOND_ADMIN, "rosnah_bte_jaafar@hdb.gov.sg", "No answer yet. Ask again on Friday, else reject."),
    (4.5, SECOND_ADMIN, "gopal_raman@moh.gov.sg", "Do not release before the incident team says so."),
    (2.1, COLLEAGUE, "meera_iyer@iras.gov.sg", "Called back on the number in the staff directory. It is her."),
    (1.0, COLLEAGUE, "sim_li_ting@nea.gov.sg", "Rang her: the log-in from Johor was not hers. Keep locked for now."),
    (0.7, COLLEAGUE, "kumar_rajan@lta.gov.sg", "Same team as the two we approved last week."),
]
AUTOMATIC = {"shanti_raj@cpf.gov.sg": 18.9, "leong_wai_mun@cpf.gov.sg": 17.3}
"""They asked while their agency approved at once."""
AGENCY_CHANGES = [
    # Days ago, which, what is set.
    (23.4, "cpf.gov.sg", {"approves_automatically": True}),
    (16.2, "cpf.gov.sg", {"approves_automatically": False}),
    (10.7, "nea.gov.sg", {"vendors_allowed": True}),
]
DAYS_OFF = {16: "Office closed for the team’s off-site", 31: "Data centre move"}
"""The first business day so many days after they were added, which was `DAYS_OFF_ADDED` days ago."""
DAYS_OFF_ADDED = 11.4

BOUNCES = {
    # To whom, of which kind (None: all since so many days ago): what the mail server said.
    ("liew_ah_kow@ura.gov.sg", "terminated"): "550 5.1.1 <liew_ah_kow@ura.gov.sg>: Recipient address rejected: "
    "User unknown in virtual mailbox table",
    (
        "bala_chandran@ica.gov.sg",
        "request_rejected",
    ): "550 5.1.1 No such user",
    ("kavitha_subramaniam@cpf.gov.sg", "onboarding_reminder"): "552 5.2.2 Mailbox full",
    ("low_jun_hao@schools.gov.sg", "onboarding_reminder"): "552 5.2.2 <low_jun_hao@schools.gov.sg>: Quota exceeded",
}
PUT_OFF = {
    # Of the last hours, tried so often and due again in so many minutes.
    ("gan_poh_suan@nea.gov.sg", "request_received"): ("421 4.7.0 Too many connections, try again later", 6, 41),
    ("deepa_krishnan@mof.gov.sg", "request_received"): ("451 4.7.1 Greylisted, please try again later", 4, 52),
}
