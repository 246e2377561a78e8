"""Domains of validation and test: no table name and no column name of theirs occurs in training."""

# One line a column, so that a domain reads as a table:
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from t2s.data.synthetic.spec import count, domain, num, text, year
from t2s.data.synthetic.values import CITY, COUNTRY, PERSON, code, date, floats, ints, joined, one_of

GALAXIES = domain(
    "galaxies|deep sky objects|galaxy survey", "galaxy|galaxies",
    text("Galaxy|Designation", "galaxy|designation", code("NGC ####")),
    text("Constellation|Const.", "constellation", one_of("Virgo|Orion|Andromeda|Draco|Pegasus|Cetus|Ursa Major|Leo"), "in {}|located in {}", "Which constellation is {} in?"),
    text("Morphology|Hubble Type", "morphology|shape", one_of("Spiral|Elliptical|Irregular|Lenticular|Barred Spiral"), "with {} morphology", "What shape does {} have?"),
    num("Redshift|Redshift (z)", "redshift", floats(0.001, 2.4, 3), aggs="MAX MIN AVG"),
    num("Light Years|Distance (Mly)", "distance", floats(2, 480), gt="farther than {} million light years|more than {} million light years away", lt="closer than {} million light years|less than {} million light years away", ask="How far away is {}?", aggs="MAX MIN AVG"),
    num("Apparent Magnitude|App. Mag.", "apparent magnitude|magnitude", floats(3, 16), aggs="MAX MIN AVG"),
    num("Star Count|Stars (bn)", "number of stars|star count", ints(2, 900), gt="with more than {} billion stars", lt="with fewer than {} billion stars", eq="with {} billion stars", ask="How many billion stars does {} have?"),
    text("Observer|First Observer", "observer|first observer", PERSON, "first seen by {}|observed by {}", "Who first saw {}?|Who observed {}?"),
    year("Observation Year|First Seen", "year of observation|observation year", "first seen", 1750, 1990, "When was {} first seen?"),
)
BRIDGES = domain(
    "bridges|bridge inventory|river crossings", "bridge|bridges",
    text("Bridge|Bridge Name", "bridge|name", joined("King|Iron|Old|Harbor|Liberty|Chain|Mill|Queen", "Bridge|Crossing|Viaduct")),
    text("Crosses|Waterway", "waterway|river it crosses", one_of("Thames|Danube|Elbe|Tagus|Rhine|Seine|Vistula|Hudson"), "crossing the {}|over the {}", "What does {} cross?|Which river does {} cross?"),
    num("Main Span|Span (m)", "main span|span", ints(20, 1990), gt="spanning more than {} m", lt="spanning less than {} m", eq="spanning {} m", ask="How far does {} span?", most="longest|greatest", least="shortest", aggs="MAX MIN AVG"),
    count("Lanes|Traffic Lanes", "lanes", ints(1, 12)),
    text("Structural Engineer|Engineered By", "structural engineer|engineer", PERSON, "engineered by {}|designed by {}", "Who engineered {}?|Who was the engineer of {}?"),
    num("Toll|Toll Charge", "toll", floats(0.5, 25, 2), eq="charging a toll of {}", gt="charging a toll above {}", lt="charging a toll below {}", ask="How much is the toll on {}?", aggs="MAX MIN AVG"),
    year("Opened to Traffic|Completion", "year of completion|completion year", "completed", 1820, 2018, "When was {} completed?"),
    num("Daily Vehicles|Vehicles per Day", "number of daily vehicles|~daily traffic", ints(400, 190000, 100), gt="used by more than {} vehicles a day", lt="used by fewer than {} vehicles a day", eq="used by {} vehicles a day", ask="How many vehicles use {} each day?"),
    text("Structure|Bridge Design", "structure|design", one_of("Suspension|Arch|Cable-stayed|Truss|Girder|Cantilever"), "of {} design", "What kind of structure is {}?"),
)
OPERAS = domain(
    "operas|opera repertoire|stage works", "opera|operas",
    text("Opera|Stage Work", "opera|title", joined("La|Il|Der|The", "Contessa|Pirata|Ritorno|Falke|Sylph|Regina|Notturno|Widow|Alchemist")),
    text("Composer|Composed By", "composer", PERSON, "composed by {}|by {}", "Who composed {}?"),
    text("Librettist|Libretto By", "librettist", PERSON, "with a libretto by {}", "Who wrote the libretto of {}?"),
    text("Opera House|Premiere Venue", "opera house|premiere venue", joined("Teatro|Royal|Grand", "Regio|Opera|Lirico|Theatre|Fenix"), "first staged at {}", "Where was {} first staged?"),
    count("Acts|Number of Acts", "acts", ints(1, 5)),
    year("Premiered|Premiere Year", "premiere year|year of the premiere", "premiered", 1640, 1980, "When did {} premiere?"),
    text("Sung In|Libretto Language", "language|libretto language", one_of("Italian|German|French|Russian|Czech|English"), "sung in {}", "In what language is {} sung?"),
    num("Cast Size|Singers", "cast size|number of singers", ints(4, 60), eq="needing {} singers", gt="needing more than {} singers", lt="needing fewer than {} singers", ask="How many singers does {} need?"),
    count("Stagings|Performances", "performances", ints(2, 4000)),
)
FISH = domain(
    "aquarium fish|fish keeping|tank species", "fish|fish",
    text("Fish|Common Name", "fish|common name", joined("Golden|Neon|Dwarf|Striped|Pearl|Blue|Ghost", "Tetra|Gourami|Catfish|Barb|Cichlid|Loach|Danio")),
    num("Adult Size|Max. Size (cm)", "adult size|maximum size", floats(2, 40), gt="growing larger than {}", lt="staying smaller than {}", ask="How big does {} get?", most="largest|biggest", least="smallest", aggs="MAX MIN AVG"),
    num("Tank Volume|Min. Tank (L)", "tank volume|minimum tank", ints(20, 600, 5), eq="needing a tank of {} liters", gt="needing more than {} liters", lt="needing less than {} liters", ask="How many liters does {} need?"),
    text("Temperament|Behaviour", "temperament|behaviour", one_of("Peaceful|Aggressive|Shy|Territorial|Playful"), "with {} temperament", "How does {} behave?"),
    text("Diet|Feeds On", "diet|food", one_of("Flakes|Algae|Insects|Shrimp|Pellets|Plants"), "feeding on {}|eating {}", "What does {} eat?|What does {} feed on?"),
    num("Lifespan|Life Expectancy", "lifespan|life expectancy", ints(1, 25), gt="living longer than {} years", lt="living less than {} years", eq="living {} years", ask="How long does {} live?", most="longest", least="shortest", unit="years", aggs="MAX MIN AVG"),
    text("Native Waters|Native To", "native waters|home waters", one_of("Amazon|Congo|Mekong|Lake Malawi|Orinoco|Ganges"), "native to the {}|from the {}", "Where is {} native to?"),
    num("Water pH|pH", "pH|acidity", floats(5.5, 8.5), aggs="MAX MIN AVG"),
    count("Eggs|Eggs Laid", "eggs", ints(10, 900, 10)),
)
MINES = domain(
    "mines|mining sites|mineral output", "mine|mines",
    text("Mine|Mine Name", "mine|name", joined("Copper|Hard|Lone|Deep|Black|Silver|Stone", "Hill|Hollow|Creek Mine|Wolf|Gulch|Star Mine")),
    text("Mineral|Ore", "mineral|ore", one_of("Gold|Coal|Zinc|Nickel|Lithium|Iron|Tin|Copper"), "producing {}|extracting {}", "What does {} produce?|What is extracted at {}?"),
    text("Mining Company|Licensee", "mining company|company", joined("Terra|Apex|Borealis|Unity|Granite", "Resources|Mining|Minerals"), "run by {}|licensed to {}", "Which company runs {}?"),
    num("Shaft Depth|Shaft (m)", "shaft depth|~depth", ints(30, 3800, 10), gt="deeper than {}", lt="shallower than {}", ask="How deep is {}?", most="greatest|deepest", least="smallest|shallowest", how="deep", aggs="MAX MIN AVG"),
    count("Miners|Workforce", "miners", ints(15, 4200)),
    num("Yearly Output|Output (kt)", "yearly output|~output", ints(2, 9000), eq="yielding {}", gt="yielding more than {}", lt="yielding less than {}", ask="How much does {} yield a year?"),
    text("Province|Mining Province", "province", one_of("Ontario|Limpopo|Kerala|Yunnan|Lapland|Jujuy|Katanga"), "in {}|located in {}", "In which province is {}?"),
    year("First Mined|Production Start", "year production began|production start", "first mined", 1860, 2016, "When did production begin at {}?"),
    count("Accidents|Incidents", "accidents", ints(0, 60)),
)
STARTUPS = domain(
    "startups|funding rounds|venture portfolio", "startup|startups",
    text("Startup|Venture", "startup|name", joined("Bright|Quick|Data|Cloud|Green|Nano|Hyper", "Loop|Forge|Nest|Wave|Pilot|Mint|Stack", "{}{}")),
    text("Founder|Founded By", "founder", PERSON, "founded by {}|started by {}", "Who founded {}?|Who started {}?"),
    text("Sector|Industry", "sector|industry", one_of("Fintech|Biotech|Gaming|Energy|Education|Robotics|Food"), "in {}|active in {}", "Which sector is {} in?|What industry is {} in?"),
    num("Headcount|Headcount (2023)", "headcount|number of workers", ints(3, 900), eq="employing {} people", gt="employing more than {} people", lt="employing fewer than {} people", ask="How many people does {} employ?"),
    num("Funding|Funding (M)", "~funding|amount raised", floats(0.2, 240), eq="with funding of {} million", gt="funded with more than {} million|raising over {} million", lt="funded with less than {} million|raising under {} million", ask="How many million did {} raise?"),
    num("Valuation|Valuation (M)", "valuation", ints(2, 2400), gt="valued above {}", lt="valued below {}", eq="valued at {}", ask="What is {} valued at?"),
    text("Lead Investor|Backer", "lead investor|backer", joined("Sequent|Lakeshore|Bluebird|Anchor|Tandem", "Capital|Partners|Ventures"), "backed by {}", "Who backed {}?|Who is the lead investor of {}?"),
    text("Headquarters|HQ", "headquarters|~HQ", CITY, "based in {}|headquartered in {}", "Where is {} based?|Where is {} headquartered?"),
    year("Launch Year|Incorporated", "launch year|year of incorporation", "incorporated", 2004, 2023, "When was {} incorporated?"),
)
VAL_DOMAINS = (GALAXIES, BRIDGES, OPERAS, FISH, MINES, STARTUPS)

VOLCANOES = domain(
    "volcanoes|volcano monitor|eruption log", "volcano|volcanoes",
    text("Volcano|Volcano Name", "volcano|name", joined("Mauna|Kara|Popo|Hekla|Santa|Tolba", "Kea|Tepe|Roja|Nor|Chik|Maria|Luma")),
    text("Nation|Nation/Territory", "nation|country", COUNTRY, "in {}|located in {}", "In which nation is {}?|Where is {}?"),
    num("Summit|Summit Elevation|Summit (m)", "summit elevation|summit height", ints(400, 6800), gt="rising above {}|higher than {}", lt="lower than {}", ask="How high is {}?", most="highest", least="lowest", how="high", aggs="MAX MIN AVG"),
    year("Last Eruption|Last Erupted", "year of the last eruption|last eruption", "last erupting", 1650, 2023, "When did {} last erupt?"),
    text("Volcano Type|Cone Type", "volcano type|cone type", one_of("Shield|Stratovolcano|Caldera|Cinder Cone|Lava Dome"), "of the type {}", "What type of volcano is {}?"),
    count("Eruptions|Known Eruptions", "eruptions", ints(1, 120)),
    text("Alert Level|Alert", "alert level|alert", one_of("Normal|Advisory|Watch|Warning"), "on {} alert", "What alert is {} on?"),
    num("Crater Width|Crater (m)", "crater width|width of the crater", ints(60, 9000, 10), ask="How wide is the crater of {}?", most="greatest|widest", least="smallest|narrowest", aggs="MAX MIN AVG"),
    text("Volcanologist|Monitored By", "volcanologist", PERSON, "monitored by {}|watched by {}", "Who monitors {}?|Who watches {}?"),
)
LIGHTHOUSES = domain(
    "lighthouses|coastal lights|light list", "lighthouse|lighthouses",
    text("Lighthouse|Lighthouse Name", "lighthouse|name", joined("Cape|Point|Skerry|Rock|Isle of", "Farrow|Elgin|Maran|Torvik|Sund|Hollis|Brae|Ness")),
    num("Tower Height|Tower (m)", "tower height", ints(6, 90), gt="taller than {}", lt="shorter than {}", ask="How tall is {}?", most="tallest|greatest", least="shortest|smallest", how="tall", aggs="MAX MIN AVG"),
    num("Beam Range|Light Range (nmi)", "beam range|light range", ints(5, 34), gt="visible from more than {} miles", lt="visible from less than {} miles", eq="visible from {} miles", ask="From how far can {} be seen?", most="longest|greatest", least="shortest", aggs="MAX MIN AVG"),
    text("Keeper|Head Keeper", "keeper|head keeper", PERSON, "kept by {}|tended by {}", "Who keeps {}?|Who tends {}?"),
    text("Coast|Shore", "coast|shore", one_of("North Coast|East Coast|Skeleton Coast|Amber Coast|West Coast|South Coast"), "on the {}|standing on the {}", "On which coast is {}?"),
    year("First Lit|Year Lit", "year it was first lit|year of first light", "first lit", 1750, 1960, "When was {} first lit?"),
    count("Steps|Stairs", "steps", ints(20, 360)),
    text("Lamp|Light Source", "lamp|light source", one_of("LED|Kerosene|Xenon|Halogen|Oil Lamp"), "lit by {}|using the lamp {}", "What lamp does {} use?"),
    num("Flash Interval|Flash (s)", "flash interval", floats(1.5, 30), gt="flashing every {} seconds or more rarely", lt="flashing more often than every {} seconds", eq="flashing every {} seconds", ask="How often does {} flash?", aggs="MAX MIN AVG"),
)
CASTLES = domain(
    "castles|heritage castles|strongholds", "castle|castles",
    text("Castle|Stronghold", "castle|name", joined("Raven|Storm|Lion|Wolf|Falken|Rosen|Eagle", "stein|keep|fels|burg|moor|holt", "{}{}")),
    text("Shire|Duchy", "shire|duchy", one_of("Anjou|Kent|Saxony|Moravia|Savoy|Fife|Brabant"), "in {}|standing in {}", "In which duchy is {}?"),
    text("Commissioned By|Builder", "builder", PERSON, "commissioned by {}|built by {}", "Who commissioned {}?|Who had {} built?"),
    count("Towers|Turrets", "towers", ints(1, 24)),
    num("Wall Thickness|Walls (m)", "wall thickness|thickness of the walls", floats(0.8, 6), ask="How thick are the walls of {}?", most="greatest", least="smallest", aggs="MAX MIN AVG"),
    num("Admission|Admission Fee", "admission|admission fee", floats(2, 28, 2), eq="charging {} for entry", gt="charging more than {} for entry", lt="charging less than {} for entry", ask="How much is admission to {}?", aggs="MAX MIN AVG"),
    text("Architecture|Castle Style", "architecture|style", one_of("Gothic|Norman|Baroque|Renaissance|Romanesque"), "in {} style|of {} architecture", "In what style is {} built?"),
    year("Begun|Construction Began", "year construction began", "begun", 1050, 1700, "When was {} begun?"),
    num("Guests|Guests (2022)", "number of guests", ints(900, 900000, 100), eq="welcoming {} guests", gt="welcoming more than {} guests", lt="welcoming fewer than {} guests", ask="How many guests does {} welcome?"),
)
BOARD_GAMES = domain(
    "board games|game shelf|tabletop games", "game|games",
    text("Game|Board Game", "game|name", joined("Castles of|Lords of|Trains to|Secrets of|Race to|Merchants of", "Venice|Mars|Timbuktu|Avalon|Siam|the Nile")),
    text("Designer|Game Designer", "designer|inventor", PERSON, "designed by {}|invented by {}", "Who designed {}?|Who invented {}?"),
    num("Max Players|Player Limit", "player limit|maximum number of players", ints(2, 12), eq="for up to {} players", gt="for more than {} players", lt="for fewer than {} players", ask="How many people can play {}?", aggs="MAX MIN AVG"),
    num("Play Time|Playing Time", "play time|playing time", ints(10, 300, 5), eq="taking {} minutes", gt="taking more than {} minutes", lt="taking less than {} minutes", ask="How long does {} take?", most="longest", least="shortest", unit="min"),
    num("Complexity|Complexity Score", "complexity|complexity score", floats(1, 5, 2), gt="more complex than {}", lt="less complex than {}", ask="How complex is {}?", aggs="MAX MIN AVG"),
    text("Setting|Theme", "setting|theme", one_of("Pirates|Farming|Space|Medieval|Zombies|Trains|Jungle"), "set in the world of {}|themed around {}", "What is the theme of {}?"),
    count("Components|Pieces", "pieces", ints(20, 900)),
    year("First Edition|Edition Year", "year of the first edition|edition year", "first printed", 1975, 2023, "When was {} first printed?"),
    text("Illustrator|Box Art By", "illustrator", PERSON, "illustrated by {}|drawn by {}", "Who illustrated {}?|Who drew {}?"),
)
SATELLITES = domain(
    "spacecraft|orbital launches|space missions", "satellite|satellites",
    text("Satellite|Spacecraft", "satellite|spacecraft", joined("Helio|Terra|Astro|Vega|Sentry|Comsat", "1A|2B|3|7|9|12|C4")),
    text("Rocket|Launch Vehicle", "rocket|launch vehicle", one_of("Atlas V|Ariane 5|Proton|Long March 3|Falcon 9|Soyuz"), "launched on {}|carried by {}", "Which rocket carried {}?"),
    text("Launch Site|Spaceport", "launch site|spaceport", one_of("Kourou|Baikonur|Cape Canaveral|Jiuquan|Vandenberg|Plesetsk"), "launched from {}", "Where was {} launched?|From where was {} launched?"),
    text("Orbit|Orbit Class", "orbit|orbit class", one_of("LEO|GEO|MEO|Polar Orbit|Lunar|Sun-Synchronous"), "in {}", "What orbit is {} in?"),
    num("Launch Mass|Mass (kg)", "launch mass|mass", ints(40, 7200, 5), gt="heavier than {} kg", lt="lighter than {} kg", eq="weighing {} kg", ask="How heavy is {}?|How much does {} weigh?", most="heaviest|highest", least="lightest|lowest", how="heavy"),
    text("Launch Date|Lift-off", "launch date|date of launch", date("m d, y", 1985, 2023), "launched on {}", "When was {} launched?"),
    text("Mission|Purpose", "mission|purpose", one_of("Weather|Navigation|Imaging|Telecom|Research|Relay"), "used for {}|serving {}", "What is {} used for?"),
    num("Solar Power|Power (W)", "solar power|~power", ints(120, 19000, 10), gt="generating more than {} watts", lt="generating less than {} watts", eq="generating {} watts", ask="How many watts does {} generate?"),
    text("Agency|Space Agency", "agency|space agency", one_of("ESA|NASA|JAXA|ISRO|CNSA|CSA"), "operated by {}|owned by {}", "Which agency operates {}?"),
    count("Transponders|Transp.", "transponders", ints(2, 80)),
)
COFFEES = domain(
    "coffees|coffee auction|cupping results", "coffee|coffees",
    text("Coffee|Coffee Lot", "coffee|lot", joined("Finca|Hacienda|Las|El", "Aurora|Nubes|Jardin|Mirador|Cielo|Rosales|Pinos")),
    text("Grower|Farmer", "grower|farmer", PERSON, "grown by {}", "Who grows {}?|Who grew {}?"),
    text("Bean Variety|Varietal", "bean variety|varietal", one_of("Bourbon|Gesha|Caturra|Typica|Pacamara|Catuai"), "of the variety {}|from {} beans", "What beans is {} made of?"),
    num("Cup Score|Cupping Score", "cup score|cupping score", floats(78, 95, 2), gt="cupping above {}", lt="cupping below {}", aggs="MAX MIN AVG"),
    text("Roast|Roast Level", "roast|roast level", one_of("Light|Medium|Dark|Espresso|City"), "with a {} roast", "How is {} roasted?"),
    num("Altitude|Farm Altitude", "altitude|farm altitude", ints(700, 2300, 10), gt="grown above {} m", lt="grown below {} m", eq="grown at {} m", ask="At what altitude is {} grown?", unit="m", aggs="MAX MIN AVG"),
    text("Processing|Process", "process|processing", one_of("Washed|Natural|Honey|Wet-Hulled|Anaerobic"), "processed as {}", "How is {} processed?"),
    count("Bags|Bags Offered", "bags", ints(5, 320)),
    num("Bid per Kilo|Top Bid", "bid per kilo|bid", floats(4, 180, 2), ask="How much was bid for {}?", unit="USD", aggs="MAX MIN AVG"),
)
CHESS = domain(
    "chess players|chess standings|tournament table", "player|players",
    text("Player|Chess Player", "player|name", PERSON),
    text("Federation|Fed.", "federation|country", COUNTRY, "from {}|playing for {}", "Which federation does {} play for?|What country is {} from?"),
    num("Elo|Elo Rating", "Elo rating|rating", ints(1900, 2850), gt="rated above {}", lt="rated below {}", eq="rated {}", ask="How is {} rated?", aggs="MAX MIN AVG"),
    num("Games Won|Won", "number of games won|number of wins", ints(0, 11), eq="winning {} games", gt="winning more than {} games", lt="winning fewer than {} games", ask="How many games did {} win?"),
    count("Draws|Drawn", "draws", ints(0, 11)),
    text("Opening|Favourite Opening", "opening|favourite opening", one_of("Sicilian|Ruy Lopez|French Defence|Queen's Gambit|Caro-Kann|Pirc"), "favouring the {}|playing the {}", "Which opening does {} prefer?"),
    text("Trainer|Second", "trainer", PERSON, "trained by {}|helped by {}", "Who trains {}?"),
    num("Prize Money|Prize (EUR)", "~prize money|prize", ints(100, 60000, 50), eq="collecting {}", gt="collecting more than {}", lt="collecting less than {}", ask="How much prize money did {} collect?"),
    num("Tie-Break|Buchholz", "tie-break score|tie-break", floats(12, 75), aggs="MAX MIN AVG"),
    person=True,
)
POWER = domain(
    "power stations|power plants|energy sites", "power station|power stations",
    text("Power Station|Plant", "power station|plant", joined("Drax|Ulla|Marsh|Kessel|Itai|Tarn|Holm", "Point|Valley|East|Bay|Hills")),
    text("Energy Source|Powered By", "energy source|source of energy", one_of("Hydro|Wind|Nuclear|Solar|Biomass|Geothermal|Peat"), "running on {}|powered by {}", "What does {} run on?"),
    num("Installed Capacity|Output (MW)", "installed capacity|~capacity", ints(5, 5600, 5), gt="producing more than {} megawatts", lt="producing less than {} megawatts", eq="producing {} megawatts", ask="How many megawatts does {} produce?"),
    count("Turbines|No. of Turbines", "turbines", ints(1, 180)),
    text("Utility|Grid Company", "utility|grid company", joined("Nord|Sol|Terra|United|Delta", "Power|Grid|Energy"), "owned by {}|belonging to {}", "Which utility owns {}?"),
    year("Commissioned|On Stream", "year of commissioning|commissioning year", "commissioned", 1935, 2022, "When was {} commissioned?"),
    num("Efficiency|Efficiency (%)", "efficiency", floats(18, 92), aggs="MAX MIN AVG"),
    text("Site Manager|Plant Manager", "site manager|plant manager", PERSON, "managed by {}", "Who manages {}?|Who is in charge of {}?"),
    num("Building Cost|Cost (bn)", "building cost|cost to build", floats(0.1, 14, 2), gt="costing more than {} billion", lt="costing less than {} billion", eq="costing {} billion", ask="How many billion did {} cost?"),
    text("Municipality|Commune", "municipality", joined("Upper|New|Old|Saint", "Varn|Elst|Molde|Brig|Tolosa"), "in {}|located in {}", "In which municipality is {}?"),
)
PAINTINGS = domain(
    "paintings|auction lots|art sales", "painting|paintings",
    text("Painting|Artwork", "painting|artwork", joined("Woman with|Still Life with|Portrait with|Landscape with|Boy with", "a Fan|Lemons|Two Boats|a Violin|Poppies|a Heron|Red Roofs")),
    text("Painter|Painted By", "painter", PERSON, "painted by {}|by {}", "Who painted {}?"),
    num("Hammer Price|Sold For", "hammer price|selling price", ints(900, 24000000, 100), eq="sold for {}", gt="sold for more than {}", lt="sold for less than {}", ask="How much was {} sold for?"),
    text("Auction House|Auctioneer", "auction house|auctioneer", one_of("Sothey|Kristal|Bonner|Phillipson|Dorotheo"), "sold at {}|auctioned by {}", "Who auctioned {}?|Where was {} sold?"),
    text("Medium|Technique", "medium|technique", one_of("Oil|Watercolor|Tempera|Pastel|Acrylic|Gouache"), "done in {}|made in {}", "In what medium is {}?"),
    num("Canvas Width|Canvas (cm)", "canvas width", ints(18, 420), gt="wider than {} cm", lt="narrower than {} cm", eq="{} cm wide", ask="How wide is {}?", most="widest|greatest", least="narrowest|smallest", how="wide", aggs="MAX MIN AVG"),
    count("Bidders|Bids", "bidders", ints(1, 60)),
    text("Collector|Acquired By", "collector", PERSON, "acquired by {}|bought by {}", "Who acquired {}?|Who bought {}?"),
    text("Sale Date|Auction Date", "sale date|auction date", date("d m y", 1995, 2023), "sold on {}", "When was {} sold?|On what date was {} sold?"),
    year("Year Painted|Painted In", "year it was painted", "painted", 1590, 1995, "When was {} painted?"),
)
TEST_DOMAINS = (VOLCANOES, LIGHTHOUSES, CASTLES, BOARD_GAMES, SATELLITES, COFFEES, CHESS, POWER, PAINTINGS)
