"""Training domains about nature, food and places."""

# One line a column, so that a domain reads as a table:
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from t2s.data.synthetic.spec import count, domain, num, text, year
from t2s.data.synthetic.values import CITY, COUNTRY, PERSON, date, floats, ints, joined, one_of

RIVERS = domain(
    "rivers|waterways|river systems", "river|rivers",
    text("River|River Name", "river|name", joined("Upper|Black|White|Little|Great|Lower|Red", "Arno|Tavy|Selke|Oru|Kamas|Lena|Mora|Drava|Ganta")),
    num("Length|Total Length", "length", ints(40, 6400, 5), gt="longer than {}|over {} km long", lt="shorter than {}|under {} km long", eq="{} km long", ask="How long is {}?", most="longest|greatest", least="shortest", how="long", unit="km"),
    num("Discharge|Avg. Discharge|Flow", "discharge|~flow", ints(5, 18000, 5), aggs="MAX MIN AVG"),
    num("Basin Area|Drainage Area|Basin", "basin area|drainage area", ints(300, 900000, 100), gt="draining more than {}", lt="draining less than {}", ask="How large is the basin of {}?", unit="km2"),
    text("Source|Headwaters", "source|place of origin", joined("Mount|Lake|Glacier", "Orla|Tern|Vissa|Kolm|Brava|Hern"), "rising at {}|starting at {}", "Where does {} rise?|Where does {} begin?"),
    text("Mouth|Flows Into|Outflow", "mouth|outflow", one_of("Lake Vora|Lake Mira|Lake Sorn|Orsa Bay|Tam Bay|Hollow Bay|Vik Fjord"), "flowing into {}|ending in {}", "Where does {} end?|What does {} flow into?"),
    text("Country|Main Country", "country", COUNTRY, "in {}|flowing through {}", "Which country is {} in?"),
    count("Tributaries|No. of Tributaries", "tributaries", ints(1, 60)),
    count("Dams|Number of Dams", "dams", ints(0, 22)),
)
MOUNTAINS = domain(
    "mountains|peaks|climbing guide", "mountain|mountains",
    text("Mountain|Peak", "mountain|peak", joined("Mount|Pico|Cerro|Piz", "Alder|Savio|Karst|Tindal|Orsa|Velan|Grima|Noira|Hekel")),
    num("Height|Elevation|Height (m)", "height|elevation", ints(1200, 8400), gt="higher than {}|over {} m high", lt="lower than {}|under {} m high", eq="{} m high", ask="How high is {}?", most="highest|greatest", least="lowest", how="high", aggs="MAX MIN AVG"),
    text("Range|Mountain Range", "range|mountain range", one_of("Alps|Andes|Rockies|Pamir|Atlas|Tatras|Carpathians"), "in the {}|belonging to the {}", "Which range is {} part of?"),
    text("Country|State", "country", COUNTRY, "in {}|located in {}", "In which country is {}?"),
    year("First Ascent|First Climbed", "year of the first ascent|first ascent", "first climbed", 1786, 1990, "When was {} first climbed?"),
    text("First Climber|Climbed By", "first climber", PERSON, "first climbed by {}", "Who first climbed {}?|Who was the first to climb {}?"),
    num("Prominence|Prominence (m)", "prominence", ints(150, 4200), aggs="MAX MIN AVG"),
    text("Difficulty|Grade", "difficulty|grade", one_of("Easy|Moderate|Hard|Severe|Extreme"), "graded {}", "How difficult is {}?"),
    count("Deaths|Fatalities", "deaths", ints(0, 90)),
)
CITY_LIST = domain(
    "cities|world cities|urban areas", "city|cities",
    text("City|City Name", "city|name", CITY),
    text("Country|Country Name", "country", COUNTRY, "in {}|located in {}", "Which country is {} in?"),
    num("Population|Pop. (2010)|Inhabitants", "population|number of inhabitants", ints(9000, 14000000, 100), eq="with {} inhabitants", gt="with more than {} inhabitants|with over {} people", lt="with fewer than {} inhabitants|with under {} people", ask="How many people live in {}?|How big is the population of {}?"),
    num("Land Area|Area (km2)", "area|land area", floats(14, 2400), gt="covering more than {}", lt="covering less than {}", ask="How large is {}?", most="largest|biggest", least="smallest", how="large"),
    num("Density|Pop. Density", "density|population density", ints(120, 19000, 10), aggs="MAX MIN AVG"),
    text("Mayor|Mayor (2020)", "mayor", PERSON, "with {} as mayor|governed by {}", "Who is the mayor of {}?|Who governs {}?"),
    year("Settled|Founding Year", "founding year", "settled", 900, 1890, "When was {} settled?"),
    text("Climate|Climate Type", "climate", one_of("Temperate|Tropical|Arid|Continental|Polar|Mediterranean"), "with a {} climate", "What climate does {} have?"),
    num("Rainfall|Annual Rain|Rainfall (mm)", "rainfall|~rain", ints(90, 2600, 5), aggs="MAX MIN AVG"),
)
PARKS = domain(
    "national parks|protected areas|park guide", "park|parks",
    text("Park|Park Name", "park|name", joined("Bear|Eagle|Silver|Thunder|Willow|Moose|Granite|Cactus", "Creek|Valley|Canyon|Lake|Ridge|Forest")),
    text("State|Region", "state|region", one_of("Montana|Utah|Maine|Oregon|Alaska|Texas|Nevada|Idaho"), "in {}|located in {}", "Which state is {} in?"),
    num("Area|Area (ha)|Park Size", "area|size", ints(900, 900000, 100), gt="larger than {}|covering more than {}", lt="smaller than {}|covering less than {}", ask="How large is {}?", most="largest|biggest", least="smallest", how="large"),
    year("Established|Year Established", "year of establishment|founding year", "established", 1872, 2012, "When was {} established?"),
    count("Trails|Hiking Trails", "trails", ints(3, 140)),
    count("Campsites|Camping Spots", "campsites", ints(0, 45)),
    text("Ranger|Chief Ranger", "chief ranger|ranger", PERSON, "headed by ranger {}|looked after by {}", "Who is the chief ranger of {}?|Who looks after {}?"),
    text("Main Attraction|Known For", "main attraction|best-known sight", one_of("Waterfall|Geyser|Caves|Redwoods|Glacier|Sand Dunes|Hot Springs"), "known for {}", "What is {} known for?"),
    num("Yearly Visitors|Visits", "number of yearly visitors", ints(2000, 4500000, 1000), eq="with {} visits a year", gt="with more than {} visits a year", lt="with fewer than {} visits a year", ask="How many people visit {} each year?"),
)
MOONS = domain(
    "moons|planetary moons|satellites of planets", "moon|moons",
    text("Moon|Moon Name", "moon|name", joined("Ari|Cal|Eno|Hel|Tho|Ura|Mira|Ner|Oph", "nis|lia|pe|dra|xos|ron|thea", "{}{}")),
    text("Planet|Orbits", "planet", one_of("Jupiter|Saturn|Uranus|Neptune|Mars|Pluto"), "orbiting {}|of {}", "Which planet does {} orbit?|What does {} orbit?"),
    num("Diameter|Diameter (km)", "diameter", ints(4, 5200), gt="wider than {} km", lt="narrower than {} km", ask="How wide is {}?", most="largest|greatest", least="smallest", how="wide", aggs="MAX MIN AVG"),
    num("Orbital Period|Period (days)", "orbital period|period", floats(0.3, 700, 2), ask="How long does {} take to go round?", most="longest", least="shortest", aggs="MAX MIN AVG"),
    text("Discoverer|Discovered By", "discoverer", PERSON, "discovered by {}|found by {}", "Who discovered {}?|Who found {}?"),
    year("Discovered|Discovery Year", "year of discovery|discovery year", "discovered", 1655, 2015, "When was {} discovered?"),
    num("Surface Temp.|Temperature|Temp. (K)", "temperature|surface temperature", ints(40, 130), gt="warmer than {}", lt="colder than {}", ask="How warm is {}?", aggs="MAX MIN AVG"),
    text("Surface|Surface Material", "surface|surface material", one_of("Ice|Rock|Dust|Sulfur|Lava"), "covered in {}|made of {}", "What is the surface of {} made of?"),
    num("Gravity|Surface Gravity", "gravity|surface gravity", floats(0.01, 1.8, 2), aggs="MAX MIN AVG"),
)
RECIPES = domain(
    "recipes|cookbook|dishes", "recipe|recipes",
    text("Recipe|Dish|Dish Name", "recipe|dish", joined("Spicy|Grandma's|Roasted|Creamy|Smoky|Lemon|Quick|Crispy", "Lentil Soup|Chicken|Noodles|Bean Stew|Pie|Rice|Salad|Curry|Risotto")),
    text("Cuisine|Kitchen", "cuisine", one_of("Thai|Italian|Mexican|Indian|Greek|Lebanese|Korean"), "from the {} cuisine|of {} cuisine", "Which cuisine is {} from?"),
    num("Prep Time|Preparation Time", "preparation time|prep time", ints(5, 120, 5), eq="ready in {} minutes", gt="taking more than {} minutes", lt="taking less than {} minutes|ready in under {} minutes", ask="How long does it take to prepare {}?", most="longest", least="shortest", unit="min"),
    count("Servings|Serves", "servings", ints(1, 12)),
    num("Calories|kcal", "number of calories|calorie count", ints(90, 1250, 10), eq="with {} calories", gt="with more than {} calories", lt="with fewer than {} calories", ask="How many calories does {} have?"),
    text("Main Ingredient|Key Ingredient", "main ingredient", one_of("Tofu|Beef|Eggs|Spinach|Salmon|Chickpeas|Mushrooms|Pork"), "made with {}|based on {}", "What is the main ingredient of {}?|What is {} made with?"),
    text("Chef|Cook", "chef|cook", PERSON, "created by {}|by {}", "Who created {}?|Whose recipe is {}?"),
    text("Course|Meal", "course|meal", one_of("Breakfast|Starter|Main|Dessert|Snack|Side"), "served as {}", "What course is {} served as?"),
    num("Oven Temp.|Oven (C)", "oven temperature", ints(120, 250, 10), eq="baked at {}", gt="baked above {}", lt="baked below {}", ask="How hot should the oven be for {}?", aggs="MAX MIN AVG"),
)
WINES = domain(
    "wines|wine cellar|tasting notes", "wine|wines",
    text("Wine|Wine Name|Label Name", "wine|name", joined("Chateau|Domaine|Quinta|Casa|Tenuta", "Belmont|Serra|Novela|Vidal|Corvina|Almada|Rocca|Lune")),
    text("Grape|Grape Variety", "grape|grape variety", one_of("Merlot|Riesling|Syrah|Malbec|Pinot Noir|Chardonnay|Nebbiolo"), "made from {}|of the grape {}", "What grape is {} made from?"),
    text("Wine Region|Appellation", "wine region|appellation", one_of("Rioja|Douro|Mosel|Napa|Barossa|Tuscany|Loire|Mendoza"), "from {}|grown in {}", "Which region does {} come from?|Where is {} from?"),
    num("Vintage|Harvest", "vintage|harvest year", ints(1985, 2022), eq="from the {} vintage|harvested in {}", gt="harvested after {}|younger than {}", lt="harvested before {}|older than {}", ask="What year is {} from?", most="latest|most recent", least="earliest|oldest", aggs="MAX MIN"),
    num("Alcohol|ABV|Alcohol (%)", "~alcohol content|alcohol level", floats(9, 16), gt="stronger than {} percent", lt="weaker than {} percent", ask="How strong is {}?", aggs="MAX MIN AVG"),
    num("Points|Critic Points", "number of points|score", ints(78, 100), eq="awarded {} points", gt="awarded more than {} points", lt="awarded fewer than {} points", ask="How many points did {} get?", aggs="MAX MIN AVG"),
    num("Bottle Price|Price/Bottle", "bottle price|price per bottle", ints(6, 480), eq="selling for {}", gt="selling for more than {}", lt="selling for less than {}", ask="How much is a bottle of {}?", unit="EUR", aggs="MAX MIN AVG"),
    text("Winemaker|Vintner", "winemaker", PERSON, "made by {}", "Who makes {}?"),
    count("Bottles|Bottles Left", "bottles", ints(1, 900)),
)
SHIPS = domain(
    "ships|fleet|ship register", "ship|ships",
    text("Ship|Vessel|Ship Name", "ship|vessel", joined("Northern|Southern|Ocean|Sea|Iron|Silver|Queen", "Star|Spirit|Venture|Carrier|Pearl|Wave|Victoria|Trader")),
    text("Flag|Flag State", "flag|flag state", COUNTRY, "sailing under the flag of {}|registered in {}", "Which flag does {} sail under?"),
    text("Captain|Master", "captain", PERSON, "commanded by {}|captained by {}", "Who commands {}?|Who is the captain of {}?"),
    num("Tonnage|Gross Tonnage|GT", "tonnage|gross tonnage", ints(900, 220000, 50), gt="heavier than {} tons", lt="lighter than {} tons", eq="of {} tons", ask="How heavy is {}?", most="heaviest|highest", least="lightest|lowest"),
    year("Launched|Laid Down", "launch year|year of launch", "launched", 1960, 2022, "When was {} launched?"),
    num("Crew|Crew Size", "crew|crew size", ints(6, 1400), eq="with a crew of {}", gt="with a crew of more than {}", lt="with a crew of fewer than {}", ask="How many people crew {}?", most="largest", least="smallest"),
    text("Home Port|Port of Registry", "home port", CITY, "based in {}|with home port {}", "What is the home port of {}?|Where is {} based?"),
    text("Type|Ship Type", "type|class", one_of("Tanker|Ferry|Freighter|Cruiser|Trawler|Tug|Icebreaker"), "of type {}", "What type of ship is {}?"),
    num("Cruising Speed|Speed (kn)", "speed|cruising speed", floats(8, 38), gt="faster than {} knots", lt="slower than {} knots", ask="How fast is {}?", most="highest|fastest", least="lowest|slowest", how="fast", aggs="MAX MIN AVG"),
)
DOGS = domain(
    "dogs|dog show|kennel records", "dog|dogs",
    text("Dog|Dog Name", "dog|name", one_of("Rex|Bella|Max|Luna|Rocky|Daisy|Bruno|Molly|Oscar|Ruby|Toby|Coco|Zeus|Nala|Finn|Maple|Ziggy|Hazel", "pet")),
    text("Breed|Dog Breed", "breed", one_of("Beagle|Collie|Poodle|Boxer|Husky|Whippet|Terrier|Great Dane"), "of the breed {}", "What breed is {}?"),
    text("Owner|Owner Name", "owner", PERSON, "owned by {}|belonging to {}", "Who owns {}?|Who does {} belong to?"),
    num("Weight|Weight (kg)", "weight", floats(3, 75), gt="heavier than {}|weighing more than {}", lt="lighter than {}|weighing less than {}", eq="weighing {}", ask="How heavy is {}?|How much does {} weigh?", most="highest|heaviest", least="lowest|lightest", how="heavy", aggs="MAX MIN AVG SUM"),
    num("Dog Age|Age (years)", "age", ints(1, 16), gt="older than {}", lt="younger than {}", eq="aged {}", ask="How old is {}?", how="old", most="oldest|highest", least="youngest|lowest", aggs="MAX MIN AVG"),
    count("Prizes|Prizes Won", "prizes", ints(0, 25)),
    text("Coat|Coat Color", "coat|coat color", one_of("Black|Brown|Golden|White|Spotted|Grey|Tan"), "with a {} coat", "What coat does {} have?"),
    text("Judge|Ring Judge", "judge", PERSON, "judged by {}", "Who judged {}?"),
    text("Born|Date of Birth|DOB", "date of birth|birthday", date("d m y", 2008, 2022), "born on {}", "When was {} born?"),
)
LAKES = domain(
    "lakes|inland waters|lake survey", "lake|lakes",
    text("Lake|Lake Name", "lake|name", joined("Lake", "Amber|Norrin|Tessel|Varga|Ilmen|Corrin|Sable|Ottar|Wenna|Perla|Moss|Eira|Halden|Juno")),
    num("Surface Area|Lake Area", "surface area|area", floats(2, 3200), gt="larger than {}", lt="smaller than {}", ask="How large is {}?", most="largest|biggest", least="smallest", how="large", unit="km2"),
    num("Max Depth|Depth|Depth (ft)", "depth|maximum depth", ints(4, 1400), gt="deeper than {}", lt="shallower than {}", ask="How deep is {}?", most="greatest|deepest", least="smallest|shallowest", how="deep", aggs="MAX MIN AVG"),
    text("County|Lake County", "county", joined("Ash|Pine|Stone|Clear|Fox|Deer", "field|wood|brook|ton", "{}{}"), "in {} county|in {}", "Which county is {} in?"),
    count("Islands|No. of Islands", "islands", ints(0, 48)),
    text("Fed By|Inflow", "inflow|river that feeds it", joined("Mill|Bear|Salt|Swift", "River|Creek|Brook"), "fed by {}", "What feeds {}?|Which river feeds {}?"),
    text("Water Type|Water", "water type|kind of water", one_of("Fresh|Salt|Brackish|Alkaline"), "with {} water", "What kind of water does {} hold?"),
    num("Volume|Water Volume", "volume|amount of water", floats(0.1, 180), gt="holding more than {}", lt="holding less than {}", ask="How much water does {} hold?"),
    num("Shoreline|Shore Length", "shoreline|shore length", floats(5, 900), ask="How long is the shore of {}?", most="longest", least="shortest", unit="km"),
)
NATURE = (RIVERS, MOUNTAINS, CITY_LIST, PARKS, MOONS, RECIPES, WINES, SHIPS, DOGS, LAKES)
