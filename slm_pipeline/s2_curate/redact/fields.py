"""Kinds of values that the key in JSON gives away."""

import re

KINDS = {
    "PERSON": (
        *("firstname", "lastname", "middlename", "surname", "givenname", "familyname", "fullname", "maidenname", "nickname", "forename"),
        *("customername", "passengername", "patientname", "guestname", "cardholder", "cardholdername", "accountholder", "contactname"),
        *("employeename", "recipientname", "sendername", "authorname", "ownername", "holdername", "buyername", "clientname", "personname"),
    ),
    "ADDRESS": (
        *("address1", "address2", "addressline1", "addressline2", "street", "streetaddress", "street1", "street2", "homeaddress"),
        *("billingaddress", "shippingaddress", "mailingaddress", "postaladdress", "streetname"),
    ),
    "LOCATION": ("city", "town", "county", "birthplace", "placeofbirth", "hometown"),
    "ZIP": ("zip", "zipcode", "postalcode", "postcode", "plz"),
    "DATE_OF_BIRTH": ("dob", "dateofbirth", "birthdate", "birthday", "birthdaydate", "bday"),
    "USER": ("userid", "username", "login", "loginname", "screenname", "userhandle"),
    "PAYMENT_ID": ("paymentid", "paymentmethodid", "cardid", "giftcardid", "certificateid"),
    "PHONE": (
        *("phone", "phonenumber", "telephone", "mobile", "mobilenumber", "mobilephone", "cell", "cellphone", "fax", "faxnumber", "tel"),
        *("homephone", "workphone", "userphone", "customerphone", "contactnumber", "contactphone"),
    ),
    "SSN": ("ssn", "socialsecuritynumber", "socialsecurity"),
    "PASSPORT": ("passport", "passportnumber", "passportno", "passportid"),
    "DRIVER_LICENSE": ("driverlicense", "driverslicense", "driverslicensenumber", "driverlicensenumber", "drivinglicence", "licensenumber"),
    "MEDICAL_RECORD": ("mrn", "medicalrecordnumber", "patientid", "medicalrecord"),
    "HEALTH_PLAN": ("memberid", "healthplannumber", "insuranceid", "insurancenumber", "policynumber", "beneficiaryid", "subscriberid"),
    "ACCOUNT": ("accountnumber", "accountno", "bankaccount", "bankaccountnumber", "routingnumber", "acctnumber", "sortcode"),
    "VEHICLE": ("vin", "licenseplate", "licenceplate", "platenumber", "numberplate", "vehicleid"),
    "DEVICE": ("serialnumber", "serialno", "deviceid", "imei", "imsi", "udid", "meid", "deviceserial"),
    "CARD": ("cardnumber", "creditcard", "creditcardnumber", "pan"),
    "NATIONAL_ID": ("nationalid", "nationalidnumber", "nationalinsurancenumber", "taxid", "idcardnumber", "aadhaar", "cpf", "nino"),
    "COORDINATES": ("lat", "latitude", "lon", "lng", "long", "longitude"),
}
KIND_OF = {key: kind for kind, keys in KINDS.items() for key in keys}
WORDY = {"PERSON", "ADDRESS", "LOCATION"}  # the others must hold a digit
LONGEST = 120  # characters of a value; longer ones are texts
SHORTEST_NUMBER = 5  # digits of a user id: "user 123" tells nobody apart, and would have to be replaced wherever 123 stands
TYPE_NAMES = {
    "string",
    "str",
    "int",
    "integer",
    "number",
    "float",
    "bool",
    "boolean",
    "null",
    "none",
    "object",
    "array",
    "any",
    "unknown",
    "n/a",
}


def kind_by_key(key: str, value: str) -> str | None:
    """The kind of a value by the key that it stands under, if that leaves no doubt: {"dob": "1990-01-31"}."""
    if not key or not value or len(value) > LONGEST or "\n\n" in value:
        return None
    kind = KIND_OF.get(re.sub(r"[^a-z0-9]", "", key.lower()))
    if kind is None or value.lower() in TYPE_NAMES or value[0] in "<{[$" or not any(c.isalnum() for c in value):
        return None
    has_digit = any(c.isdigit() for c in value)
    if kind == "USER" and value.isdigit() and len(value) < SHORTEST_NUMBER:
        return None
    if kind in ("USER", "COORDINATES"):
        return kind if len(value) >= 3 and " " not in value and (has_digit or kind == "USER") else None
    if kind in WORDY:
        return kind if any(c.isalpha() for c in value) and (kind == "ADDRESS" or len(value) <= 60) else None
    return kind if has_digit and len(value) >= (3 if kind == "ZIP" else 4) and len(value) <= 40 else None
