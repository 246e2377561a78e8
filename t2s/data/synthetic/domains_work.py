"""Training domains about people, business and travel."""

# One line a column, so that a domain reads as a table:
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from t2s.data.synthetic.spec import count, domain, num, text, year
from t2s.data.synthetic.values import CITY, PERSON, code, date, floats, ints, joined, one_of

EMPLOYEES = domain(
    "employees|staff|personnel list", "employee|employees",
    text("Employee|Name|Employee Name", "employee|name", PERSON),
    text("Department|Dept.|Team", "department|team", one_of("Sales|Finance|Legal|Marketing|Research|Logistics|Support|Design"), "in {}|working in {}", "Which department is {} in?|What team does {} work in?"),
    text("Job Title|Position|Role", "job title|position|role", one_of("Analyst|Engineer|Accountant|Designer|Manager|Clerk|Technician|Recruiter"), "working as {}|employed as {}", "What is the job of {}?|What does {} work as?"),
    text("Office|Work Location", "office|location", CITY, "based in {}|at the {} office", "Where is {} based?|In which city does {} work?"),
    num("Salary|Annual Pay|Wage", "salary|wage|~pay", ints(24000, 140000, 500), eq="earning {}|paid {}", gt="earning more than {}|paid over {}", lt="earning less than {}|paid under {}", ask="How much does {} earn?|How much is {} paid?", unit="USD"),
    num("Age|Age in Years", "age", ints(19, 66), eq="aged {}", gt="older than {}|aged over {}", lt="younger than {}|aged under {}", ask="How old is {}?", most="highest|greatest", least="lowest|youngest", aggs="MAX MIN AVG"),
    year("Hired|Year Hired|Start Year", "year of hire|start year", "hired", 1990, 2023, "When was {} hired?|In which year did {} start?"),
    text("Supervisor|Reports To", "supervisor|boss", PERSON, "reporting to {}|supervised by {}", "Who supervises {}?|Who does {} report to?"),
    count("Vacation Days|Days Off", "vacation days", ints(12, 40)),
    person=True,
)
HOSPITALS = domain(
    "hospitals|clinics|hospital directory", "hospital|hospitals",
    text("Hospital|Hospital Name|Facility", "hospital|name", joined("St. Mary|Mercy|Riverside|Hope|Lakeview|North|Grace|Union|Sacred Heart|Hillcrest|Eastgate|Central|Green Valley|Westfield", "Hospital|Clinic|Medical Center|Infirmary")),
    text("City|Town", "city|town", CITY, "in {}|located in {}", "In which city is {}?|Where is {} located?"),
    count("Beds|No. of Beds|Bed Count", "beds", ints(40, 1200), "~bed capacity"),
    count("Doctors|Physicians", "doctors", ints(12, 640)),
    num("Wait Time|Waiting Time|Avg. Wait", "waiting time|wait", ints(5, 180), gt="with a wait longer than {}|with waits over {}", lt="with a wait shorter than {}", ask="How long do patients wait at {}?", most="longest", least="shortest", unit="min", aggs="MAX MIN AVG"),
    text("Specialty|Main Specialty", "specialty|main field", one_of("Cardiology|Pediatrics|Oncology|Neurology|Orthopedics|Surgery|Dermatology|Trauma"), "specializing in {}|focused on {}", "What does {} specialize in?"),
    text("Director|Chief Executive", "director|head", PERSON, "directed by {}|headed by {}", "Who directs {}?|Who is in charge of {}?"),
    year("Founded|Est.|Year Founded", "founding year|year of foundation", "founded", 1850, 2010, "When was {} founded?"),
    text("Ownership|Owner Type", "ownership|type of owner", one_of("Public|Private|Charity|University|Military"), "under {} ownership"),
)
FLIGHTS = domain(
    "flights|departures|flight schedule", "flight|flights",
    text("Flight|Flight No.|Flight Number", "flight|flight number", code("@@###")),
    text("Airline|Carrier", "airline|carrier", joined("Blue|Nordic|Sun|Trans|Pacific|Royal|Sky|Polar", "Air|Wings|Airways|Jet"), "operated by {}|flown by {}", "Which airline operates {}?|Who flies {}?"),
    text("From|Origin|Departure City", "origin|departure city", CITY, "leaving from {}|departing from {}", "Where does {} leave from?|Where does {} depart?"),
    text("To|Destination|Arrival City", "destination|arrival city", CITY, "going to {}|bound for {}|flying to {}", "Where does {} go?|Where is {} heading?"),
    num("Duration|Flight Time", "duration|flight time", ints(45, 840, 5), eq="lasting {} minutes", gt="lasting more than {} minutes|longer than {} minutes", lt="lasting less than {} minutes|shorter than {} minutes", ask="How long does {} take?", most="longest", least="shortest", unit="min", how="long"),
    num("Fare|Ticket Price|Fare (USD)", "fare|ticket price", ints(39, 1450), eq="costing {}", gt="costing more than {}|priced above {}", lt="costing less than {}|cheaper than {}", ask="How much does {} cost?|What does a ticket for {} cost?"),
    count("Seats|Seats Available", "seats", ints(50, 420, 2)),
    text("Aircraft|Plane", "aircraft|plane", one_of("A320|A350|B737|B777|E190|ATR 72|CRJ900|A220"), "using an aircraft of type {}", "Which aircraft flies {}?|What plane is used for {}?"),
    text("Gate|Boarding Gate", "gate|boarding gate", code("@##"), "boarding at {}|leaving from gate {}", "Which gate does {} board at?"),
    num("Delay|Delay (min)", "delay", ints(0, 190), gt="delayed by more than {} minutes", lt="delayed by less than {} minutes", eq="delayed by {} minutes", ask="How late is {}?", most="longest", least="shortest"),
)
HOTELS = domain(
    "hotels|hotel guide|places to stay", "hotel|hotels",
    text("Hotel|Hotel Name", "hotel|hotel name", joined("Grand|Golden|Garden|Royal|Harbor|Palm|Old Mill|Crown|Park|Sea View|Station|Marble", "Hotel|Inn|Lodge|Palace|Suites")),
    text("City|Destination City", "city", CITY, "in {}|located in {}", "In which city is {}?"),
    count("Rooms|Number of Rooms", "rooms", ints(12, 640)),
    num("Stars|Star Rating", "star rating|number of stars", ints(1, 5), eq="with {} stars|rated {} stars", gt="with more than {} stars", lt="with fewer than {} stars", ask="How many stars does {} have?", aggs="MAX MIN AVG"),
    num("Price per Night|Room Rate|Nightly Rate", "price per night|room rate", ints(45, 720), eq="charging {} a night", gt="charging more than {} a night|costing over {}", lt="charging less than {} a night|costing under {}", ask="How much does a night at {} cost?", unit="EUR", aggs="MAX MIN AVG"),
    text("Chain|Hotel Group", "chain|hotel group", joined("Azure|Nova|Heritage|Summit|Orchid", "Collection|Group|Stays"), "belonging to {}|run by {}", "Which chain does {} belong to?"),
    num("Guest Score|Review Score", "guest score|review score", floats(5.5, 9.9), gt="scoring above {}", lt="scoring below {}", aggs="MAX MIN AVG"),
    text("General Manager|Hotel Manager", "general manager|manager", PERSON, "managed by {}", "Who manages {}?"),
    year("Renovated|Last Renovation", "year of renovation|renovation year", "renovated", 1995, 2023, "When was {} renovated?"),
)
ORDERS = domain(
    "orders|customer orders|sales orders", "order|orders",
    text("Order|Order ID|Order No.", "order|order number", code("@#####")),
    text("Customer|Client|Buyer Name", "customer|client", PERSON, "placed by {}|made by {}", "Who placed {}?|Which customer made {}?"),
    text("Product|Item", "product|item", one_of("Desk Lamp|Office Chair|Backpack|Kettle|Headphones|Yoga Mat|Notebook|Water Bottle|Blender|Bike Helmet"), "for a product called {}|containing the item {}", "What was bought in {}?"),
    num("Quantity|Qty|Units", "quantity|~number of units", ints(1, 48), eq="of {} units", gt="of more than {} units", lt="of fewer than {} units", ask="How many units are in {}?"),
    num("Unit Price|Price Each", "unit price|price per unit", floats(3, 260, 2), aggs="MAX MIN AVG"),
    num("Total|Order Total|Amount", "amount|order value", floats(12, 2400, 2), gt="worth more than {}", lt="worth less than {}", eq="worth {}", ask="How much is {} worth?", unit="USD"),
    text("Status|Order Status", "status", one_of("Shipped|Pending|Delivered|Cancelled|Returned|Packed"), "marked as {}|currently {}", "What is the state of {}?"),
    text("Order Date|Placed On", "order date|date", date("d m y", 2019, 2024), "placed on {}|from {}", "When was {} placed?"),
    text("Payment|Payment Method|Paid By", "payment method|way of paying", one_of("Credit Card|Bank Transfer|Cash|Voucher|Invoice"), "paid by {}|settled by {}", "How was {} paid?"),
    num("Discount|Discount (%)", "discount", ints(0, 40, 5), aggs="MAX MIN AVG"),
)
STUDENTS = domain(
    "students|class list|enrolment", "student|students",
    text("Student|Student Name|Pupil", "student|name", PERSON),
    text("Major|Course|Field of Study", "major|field of study", one_of("Biology|History|Physics|Economics|Law|Chemistry|Music|Philosophy|Geology"), "studying {}|majoring in {}", "What does {} study?|What is {} majoring in?"),
    num("GPA|Grade Average", "grade average|GPA", floats(1.8, 4.0, 2), aggs="MAX MIN AVG"),
    count("Credits|Credits Earned", "credits", ints(12, 180, 3)),
    text("Hometown|Home City", "hometown|home city", CITY, "from {}|coming from {}", "Where does {} come from?|Where is {} from?"),
    text("Advisor|Tutor", "advisor|tutor", PERSON, "advised by {}", "Who advises {}?"),
    num("Absences|Days Absent", "number of absences", ints(0, 30), eq="with {} absences", gt="with more than {} absences|absent more than {} times", lt="with fewer than {} absences|absent fewer than {} times", ask="How often was {} absent?"),
    year("Enrolled|Year of Entry", "year of enrolment|entry year", "enrolled", 2012, 2024, "When did {} enrol?"),
    text("Dorm|Residence Hall", "dorm|residence hall", one_of("Maple House|Elm Hall|North Court|Lake House|Cedar Hall|Founders Hall"), "living in {}|housed in {}", "Which dorm does {} live in?|Where does {} live?"),
    num("Scholarship|Grant", "scholarship|grant", ints(500, 9000, 100), eq="receiving {}", gt="receiving more than {}", lt="receiving less than {}", ask="How much scholarship money does {} get?"),
    person=True,
)
RENTALS = domain(
    "rentals|apartments|homes to let", "apartment|apartments",
    text("Address|Street Address", "address|street", joined("12|7|48|103|25|61|9|230|84|17|36|5", "Oak Street|Mill Lane|High Street|Rose Avenue|Lake Road|Church Lane|Station Road|Elm Drive"), "at {}"),
    text("Neighborhood|Area|Quarter", "neighborhood|area", one_of("Old Town|Riverside|Harbor|Hillside|Westend|Garden City|Northgate|Midtown"), "in {}|situated in {}", "In which area is {}?|What neighborhood is {} in?"),
    num("Rent|Monthly Rent|Rent per Month", "rent|monthly rent", ints(450, 3900, 10), eq="renting for {}", gt="renting for more than {}|costing over {} a month", lt="renting for less than {}|costing under {} a month", ask="How much is the rent for {}?|What does {} cost a month?", unit="EUR", aggs="MAX MIN AVG"),
    count("Bedrooms|Beds/Unit", "bedrooms", ints(1, 6)),
    num("Floor Area|Size|Living Space", "size|floor area|~living space", ints(24, 210), gt="larger than {}|bigger than {}", lt="smaller than {}", ask="How big is {}?|How large is {}?", most="largest|biggest", least="smallest", unit="sqm", how="large"),
    text("Landlord|Owner", "landlord|owner", PERSON, "owned by {}|let by {}", "Who owns {}?|Who is the landlord of {}?"),
    num("Floor|Storey", "floor", ints(0, 14), eq="on floor {}", gt="above floor {}", lt="below floor {}", ask="On which floor is {}?", aggs="MAX MIN"),
    text("Heating|Heating Type", "heating|kind of heating", one_of("Gas|District|Electric|Heat Pump|Wood|Oil"), "heated with {}", "How is {} heated?"),
    text("Available|Available From", "availability date|move-in date", date("d m y", 2024, 2026), "available from {}|free on {}", "When is {} available?"),
    num("Deposit|Security Deposit", "deposit|security deposit", ints(400, 9000, 50)),
)
TRAINS = domain(
    "trains|rail timetable|train services", "train|trains",
    text("Train|Train No.|Service", "train|train number", code("@@ ##")),
    text("Departs From|Start Station", "departure station|start", CITY, "starting in {}|departing from {}", "Where does {} start?"),
    text("Terminus|End Station", "terminus|final stop", CITY, "ending in {}|going to {}", "Where does {} end?|Where is {} going?"),
    count("Stops|No. of Stops", "stops", ints(1, 34)),
    num("Top Speed|Max Speed|Speed (km/h)", "top speed|maximum speed", ints(80, 330, 5), gt="faster than {}", lt="slower than {}", eq="running at {}", ask="How fast is {}?", how="fast", most="fastest", least="slowest", aggs="MAX MIN AVG"),
    count("Coaches|Carriages", "carriages", ints(2, 18)),
    num("Ticket|Standard Fare", "standard fare|ticket cost", floats(4, 180, 2), eq="costing {}", gt="costing more than {}", lt="costing less than {}|cheaper than {}", ask="How much does {} cost?", aggs="MAX MIN AVG"),
    text("Operated By|Rail Company", "rail company|operating company", joined("North|Coast|Alpine|Metro|Inter", "Rail|Express|Lines"), "operated by {}|run by {}", "Which company runs {}?"),
    num("Platform|Track", "platform|track", ints(1, 24), eq="leaving from platform {}", ask="Which platform does {} leave from?", aggs="MAX MIN"),
    text("Driver|Train Driver", "driver", PERSON, "driven by {}", "Who drives {}?"),
)
WORK = (EMPLOYEES, HOSPITALS, FLIGHTS, HOTELS, ORDERS, STUDENTS, RENTALS, TRAINS)
