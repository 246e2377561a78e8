"""Training domains about culture, sport and goods."""

# One line a column, so that a domain reads as a table:
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from t2s.data.synthetic.spec import count, domain, num, text, year
from t2s.data.synthetic.values import CITY, COUNTRY, PERSON, code, date, floats, ints, joined, one_of

FILMS = domain(
    "films|movies|film archive", "film|films",
    text("Film|Movie|Film Title", "film|title", joined("The Last|The Silent|A Distant|The Golden|My Secret|The Broken|One Perfect|The Hidden|Another", "Harbor|Winter|Promise|Bridge Club|Summer|Letter|Stranger|Garden|Voyage|Mirror")),
    text("Director|Directed By", "director|filmmaker", PERSON, "directed by {}|made by {}", "Who directed {}?|Who made {}?"),
    text("Lead Actor|Starring", "lead actor|star", PERSON, "starring {}|featuring {}", "Who stars in {}?|Who plays the lead in {}?"),
    text("Genre|Film Genre", "genre|kind", one_of("Comedy|Drama|Thriller|Horror|Western|Romance|Fantasy|Musical"), "of the genre {}|in the {} genre", "What genre is {}?|What kind of film is {}?"),
    year("Released|Release Year", "release year|year of release", "released", 1950, 2023, "When was {} released?|In which year did {} come out?"),
    num("Runtime|Running Time|Length (min)", "runtime|running time", ints(71, 205), eq="lasting {} minutes", gt="longer than {} minutes|running over {} minutes", lt="shorter than {} minutes|running under {} minutes", ask="How long is {}?|How many minutes does {} last?", most="longest", least="shortest", how="long"),
    num("Box Office|Gross|Gross (USD)", "box office|gross", ints(120000, 900000000, 1000), eq="grossing {}", gt="grossing more than {}|earning over {}", lt="grossing less than {}|earning under {}", ask="How much did {} gross?|How much money did {} make?"),
    num("Critic Score|Score", "critic score|score", floats(2, 9.8), gt="scoring above {}", lt="scoring below {}", aggs="MAX MIN AVG"),
    text("Studio|Production Company", "studio|production company", joined("Red Lion|Northlight|Paper Moon|Atlas|Juniper", "Pictures|Films|Studios"), "produced by {}", "Which studio produced {}?"),
    text("Language|Original Language", "language", one_of("English|French|Spanish|Korean|Hindi|Swedish|Arabic"), "in {}|shot in {}", "What language is {} in?"),
)
BOOKS = domain(
    "books|library catalogue|reading list", "book|books",
    text("Book|Title|Book Title", "book|title", joined("A Map of|Notes on|The House of|Letters from|In Search of|The Art of|Beyond|The Last Days of", "Salt|Silence|Glass|Fire|Snow|Sleep|Dust|the Sea|Bread|Rain")),
    text("Author|Writer|Written By", "author|writer", PERSON, "written by {}|by {}", "Who wrote {}?|Who is {} by?"),
    text("Publisher|Publishing Co.", "publisher", joined("Penrose|Lantern|Blackwood|Harvest|Meridian", "Press|Books|House"), "published by {}", "Who published {}?"),
    count("Pages|Page Count", "pages", ints(84, 1100)),
    year("Published|Year Published|Publication Year", "publication year|year", "published", 1920, 2023, "When was {} published?"),
    text("Category|Subject", "category|subject", one_of("Poetry|Biography|Science|Crime|Travel|Cooking|Politics|Art"), "about {}|in the category {}", "What is {} about?"),
    count("Copies Sold|Copies", "copies sold", ints(900, 4000000, 100)),
    num("List Price|Cover Price", "list price|cover price", floats(5, 60, 2), eq="priced at {}", gt="priced above {}|costing more than {}", lt="priced below {}|costing less than {}", ask="How much does {} cost?", unit="USD"),
    text("ISBN|Shelf Mark", "shelf mark|catalogue code", code("##-###-@"), "filed under {}"),
    text("Translator|Translated By", "translator", PERSON, "translated by {}", "Who translated {}?"),
)
ALBUMS = domain(
    "albums|record collection|discography", "album|albums",
    text("Album|Album Title|Record", "album|album title", joined("Midnight|Electric|Paper|Velvet|Neon|Hollow|Crystal|Slow|Wild", "Parade|Hearts|Rivers|Engines|Echoes|Lions|Weather|Tapes")),
    text("Artist|Band", "artist|band", joined("The|Little|Saint|Young", "Foxes|Marigolds|Comets|Arrows|Wolves|Harbors|Sparrows|Pilots"), "by {}|recorded by {}", "Who recorded {}?|Which band made {}?"),
    count("Tracks|No. of Tracks|Songs", "tracks", ints(6, 24)),
    num("Album Length|Minutes", "length|playing time", ints(28, 92), gt="longer than {} minutes", lt="shorter than {} minutes", eq="lasting {} minutes", ask="How long is {}?", most="longest", least="shortest", how="long"),
    text("Label|Record Label", "label|record label", joined("Island|Deep|Sunset|Orange|Basement", "Records|Sound|Music"), "released on {}|issued by {}", "Which label released {}?"),
    num("Chart Peak|Peak Position|Peak Pos.", "peak position|chart peak", ints(1, 100), eq="peaking at {}|reaching position {}", ask="What position did {} reach?", aggs="MAX MIN AVG"),
    num("Sales|Units Sold|Sales (thousands)", "number of units sold|sales figure", ints(3, 9000), eq="selling {}", gt="selling more than {}", lt="selling less than {}", ask="How much did {} sell?"),
    text("Producer|Produced By", "producer", PERSON, "produced by {}", "Who produced {}?"),
    text("Release Date|Released On", "release date", date("m d, y", 1968, 2023), "released on {}|from {}", "When did {} come out?|When was {} released?"),
)
EPISODES = domain(
    "episodes|tv episodes|season guide", "episode|episodes",
    text("Episode|Episode Title", "episode|episode title", joined("The One with|Return to|Night of|Goodbye|Enter|Waiting for", "the Clock|Mr. Bell|Winterport|the Dog|Aunt May|the Storm|Room 9")),
    num("Episode No.|No.|No. in Series", "episode number|number in the series", ints(1, 160), eq="numbered {}", ask="What number is {}?", aggs="MAX MIN"),
    num("Season|Series", "season", ints(1, 12), eq="in season {}|from season {}", gt="after season {}", lt="before season {}", ask="Which season is {} in?", aggs="MAX MIN"),
    text("Written By|Screenwriter", "screenwriter|author of the script", PERSON, "written by {}", "Who wrote {}?"),
    text("Directed By|Episode Director", "director", PERSON, "directed by {}", "Who directed {}?"),
    text("Air Date|Original Air Date|First Aired", "air date|original air date", date("m d, y", 1988, 2023), "aired on {}|shown on {}", "When did {} air?|When was {} first shown?"),
    num("Viewers|U.S. Viewers (millions)|Audience", "~number of viewers|audience", floats(0.4, 24, 2), eq="seen by {} million viewers", gt="seen by more than {} million viewers|watched by over {} million", lt="seen by fewer than {} million viewers|watched by under {} million", ask="How many million viewers did {} have?|How many people saw {}?"),
    text("Production Code|Prod. Code", "production code", code("#@##"), "with production code {}", "Under which code was {} produced?"),
    text("Guest Star|Special Guest", "guest star|guest", PERSON, "with guest star {}|featuring {} as a guest", "Who is the guest star in {}?"),
)
MATCHES = domain(
    "match results|fixtures|league games", "match|matches",
    text("Match|Match ID", "match|match code", code("M###")),
    text("Home Team|Home", "home team|host", joined("Oakfield|Redport|Milltown|Kingsbay|Ashford|Brookside|Stonegate|Lowmoor", "United|City|Rovers|Athletic"), "hosted by {}|with {} at home", "Who played at home in {}?"),
    text("Away Team|Away|Visitors", "away team|visiting team", joined("Oakfield|Redport|Milltown|Kingsbay|Ashford|Brookside|Stonegate|Lowmoor", "Wanderers|Town|Albion|Rangers"), "with {} as visitors|with {} playing away", "Who was the visiting team in {}?"),
    num("Attendance|Crowd|Spectators", "attendance|crowd", ints(800, 78000, 10), eq="watched by {} people", gt="watched by more than {} people|drawing over {} people", lt="watched by fewer than {} people|drawing under {} people", ask="How many people watched {}?"),
    num("Home Goals|Goals (H)", "number of home goals", ints(0, 6), eq="with {} home goals", gt="with more than {} home goals", lt="with fewer than {} home goals", ask="How many goals did the home side score in {}?"),
    text("Stadium|Venue|Ground", "stadium|venue", joined("Victoria|Harbour|Meadow|Abbey|Station", "Park|Road|Arena|Ground"), "played at {}|held at {}", "Where was {} played?|Which stadium hosted {}?"),
    text("Referee|Official", "referee", PERSON, "refereed by {}|led by {}", "Who refereed {}?"),
    text("Date|Match Date|Played On", "date|day", date("d m y", 2008, 2023), "played on {}|on {}", "When was {} played?|On what date was {}?"),
    text("Result|Final Score", "result|final score", joined("0|1|2|3|4|5", "0|1|2|3|4", "{}-{}", "score"), "ending {}|with a final score of {}", "How did {} end?|What was the outcome of {}?"),
    count("Yellow Cards|Bookings", "yellow cards", ints(0, 9)),
)
ATHLETES = domain(
    "athletes|race entries|runners", "athlete|athletes",
    text("Athlete|Runner|Competitor", "athlete|name", PERSON),
    text("Country|Nationality", "country|nationality", COUNTRY, "from {}|representing {}", "Which country is {} from?|Who does {} compete for?"),
    num("Rank|Place|Pos.", "rank|place", ints(1, 60), eq="ranked {}|finishing in place {}", ask="Where did {} finish?|What place did {} get?", aggs="MAX MIN"),
    num("Time|Finish Time|Time (s)", "time|finishing time", floats(9.8, 58, 2), eq="timed at {}", gt="slower than {} seconds", lt="faster than {} seconds", ask="How fast was {}?", most="slowest|longest", least="fastest|best", aggs="MAX MIN AVG"),
    count("Medals|Medals Won", "medals", ints(0, 18)),
    text("Event|Discipline", "event|discipline", one_of("100 m|200 m|400 m|800 m|Hurdles|Relay|Long Jump|Javelin"), "competing in the {}|entered for the {}", "What event does {} compete in?"),
    text("Coach|Coached By", "coach", PERSON, "coached by {}|trained by {}", "Who coaches {}?"),
    num("Body Height|Height (cm)", "height", ints(154, 205), gt="taller than {}", lt="shorter than {}", ask="How tall is {}?", most="greatest|tallest", least="shortest|smallest", how="tall", aggs="MAX MIN AVG"),
    text("Club|Sports Club", "club|sports club", joined("Athletics|Olympia|Falcon|Harriers|Spartak", "Bergen|Turin|Accra|Denver|Lyon"), "of the club {}|running for {}", "Which club does {} belong to?"),
    num("Lane|Start Number|Bib", "start number|bib number", ints(1, 99), eq="wearing number {}", ask="What number does {} wear?", aggs="MAX MIN"),
    person=True,
)
MUSEUMS = domain(
    "museums|galleries|museum list", "museum|museums",
    text("Museum|Museum Name|Gallery", "museum|name", joined("National|Maritime|City|Railway|Folk|Modern|Royal|Textile", "Museum|Gallery|Collection|Archive")),
    text("City|Located In", "city", CITY, "in {}|located in {}", "In which city is {}?|Where is {}?"),
    num("Visitors|Annual Visitors|Visitors (2019)", "number of visitors|visitor figure", ints(4000, 6000000, 1000), eq="attracting {} visitors", gt="with more than {} visitors|visited by over {} people", lt="with fewer than {} visitors|visited by under {} people", ask="How many visitors does {} get?"),
    count("Exhibits|Items on Show", "exhibits", ints(60, 90000, 10)),
    text("Curator|Head Curator", "curator", PERSON, "curated by {}", "Who is the curator of {}?"),
    year("Opened|Year Opened", "opening year|year of opening", "opened", 1780, 2015, "When did {} open?"),
    num("Ticket Price|Entrance Fee", "ticket price|entrance fee", floats(2, 30, 2), eq="charging {}", gt="charging more than {}", lt="charging less than {}", ask="How much is a ticket for {}?", unit="EUR", aggs="MAX MIN AVG"),
    text("Focus|Theme Area", "focus|main topic", one_of("Science|Design|Shipping|Photography|Ancient Art|Music|Nature|War"), "about {}|devoted to {}", "What is {} about?"),
    text("Closed On|Closing Day", "closing day|day of closure", one_of("Monday|Tuesday|Wednesday|Thursday|Friday|Sunday", "weekday"), "closed on {}", "On which day is {} closed?"),
)
ELECTIONS = domain(
    "elections|candidates|election results", "candidate|candidates",
    text("Candidate|Candidate Name", "candidate|name", PERSON),
    text("Party|Political Party", "party", one_of("Liberal|Labour|Green|Conservative|Independent|Centre|Reform"), "of the {} party|running for {}", "Which party is {} in?|What party does {} belong to?"),
    num("Votes|Vote Count|Number of Votes", "number of votes|vote count", ints(400, 190000), eq="receiving {} votes", gt="with more than {} votes|receiving over {} votes", lt="with fewer than {} votes|receiving under {} votes", ask="How many votes did {} get?"),
    num("Vote Share|Share (%)|Percentage", "vote share|percentage", floats(0.5, 68), gt="winning more than {} percent", lt="winning less than {} percent", eq="winning {} percent", ask="What percentage did {} get?", aggs="MAX MIN AVG"),
    text("Constituency|Electoral District", "constituency|district", joined("North|South|East|West|Central", "Ashby|Lorne|Carrick|Selby|Marlow"), "standing in {}|in {}", "Where did {} stand?|Which district did {} run in?"),
    text("Outcome|Election Result", "outcome|result", one_of("Elected|Defeated|Withdrew|Re-elected|Runoff"), "listed as {}", "What happened to {}?"),
    num("Campaign Spending|Spending", "campaign spending|~spending", ints(1000, 240000, 100), eq="spending {}", gt="spending more than {}", lt="spending less than {}", ask="How much did {} spend?"),
    year("First Elected|In Office Since", "year of first election|first year in office", "first elected", 1974, 2020, "When was {} first elected?"),
    text("Profession|Occupation", "profession|occupation", one_of("Lawyer|Teacher|Farmer|Doctor|Journalist|Builder"), "working as {}", "What is {} by profession?"),
    person=True,
)
CARS = domain(
    "cars|car models|used cars", "car|cars",
    text("Model|Car|Car Model", "model|car", joined("Vega|Lumen|Orion|Tempo|Astra|Delta|Corsa|Nimbus", "100|200|GT|Sport|LX|Coupe|300")),
    text("Maker|Manufacturer|Brand", "maker|brand", one_of("Halden|Brioni|Kestrel|Mitsura|Valmont|Stark|Oberon"), "made by {}|built by {}", "Who makes {}?|Which brand is {}?"),
    num("Horsepower|Power (hp)|HP", "horsepower|~power", ints(60, 620, 5), gt="with more than {} horsepower", lt="with less than {} horsepower", eq="with {} horsepower", ask="How powerful is {}?", aggs="MAX MIN AVG"),
    num("Price|Asking Price|Price (USD)", "price|asking price", ints(1500, 98000, 50), eq="priced at {}", gt="costing more than {}|priced above {}", lt="costing less than {}|priced below {}", ask="How much does {} cost?"),
    num("Mileage|Odometer", "mileage", ints(500, 240000, 100), eq="driven {} miles", gt="driven more than {} miles", lt="driven less than {} miles", ask="How many miles has {} done?", unit="mi"),
    text("Fuel Type|Runs On", "fuel type|fuel", one_of("Petrol|Diesel|Electric|Hybrid|Hydrogen"), "running on {}", "What fuel does {} use?|What does {} run on?"),
    text("Color|Colour", "color|paint", one_of("Red|Blue|Black|White|Silver|Green|Yellow"), "painted {}|in {}", "What color is {}?"),
    year("Model Year|Year Built", "model year|year it was built", "built", 1985, 2024, "When was {} built?"),
    text("Transmission|Gearbox", "transmission|gearbox", one_of("Manual|Automatic|Semi-Automatic|CVT"), "with {} transmission", "What gearbox does {} have?"),
    count("Doors|No. of Doors", "doors", ints(2, 5)),
)
LAPTOPS = domain(
    "laptops|computers|device list", "laptop|laptops",
    text("Laptop|Product Name|Device", "laptop|device", joined("Zen|Air|Pro|Swift|Idea|Nova|Spark", "Book 13|Book 15|Pad X|Note 7|Lite|Max")),
    text("Vendor|Sold By", "vendor|seller", one_of("Bytehaus|Corewell|Kinetic|Lumina|Pinetree|Tekton"), "sold by {}|from {}", "Who sells {}?"),
    num("RAM|Memory (GB)|RAM (GB)", "~memory|amount of memory|~RAM", ints(4, 64, 4), eq="with {} GB of memory", gt="with more than {} GB of memory", lt="with less than {} GB of memory", ask="How much memory does {} have?", aggs="MAX MIN AVG"),
    num("Screen Size|Display (in)", "screen size|display size", floats(11, 17.5), eq="with a {} inch screen", ask="How big is the screen of {}?", aggs="MAX MIN AVG"),
    num("Battery Life|Battery (h)", "~battery life|running time on battery", floats(4, 22), gt="lasting more than {} hours", lt="lasting less than {} hours", eq="lasting {} hours", ask="How many hours does {} last?", most="longest", least="shortest", aggs="MAX MIN AVG"),
    num("Cost|Retail Price", "cost|retail price", ints(280, 3900, 10), eq="costing {}", gt="costing more than {}", lt="costing less than {}|cheaper than {}", ask="How much is {}?|How much does {} cost?", unit="USD"),
    text("Processor|CPU", "processor|chip", one_of("Ryze 5|Ryze 7|Core M3|Core X9|Arm A2|Snap 8"), "powered by {}|using the processor {}", "Which processor does {} use?"),
    text("Operating System|OS", "operating system|system", one_of("Linux|Windows|ChromeOS|BSD"), "running {}", "What system does {} run?"),
    count("Stock|In Stock", "units in stock", ints(0, 240), "~stock"),
)
CULTURE = (FILMS, BOOKS, ALBUMS, EPISODES, MATCHES, ATHLETES, MUSEUMS, ELECTIONS, CARS, LAPTOPS)
