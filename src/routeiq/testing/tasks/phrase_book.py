"""The phrase book of the family of translations.

Owns thirty phrases with a settled translation in five languages, and every common variant of it. A block is a phrase:
English first, then German, French, Spanish, Italian and Portuguese; variants are parted by " / ", the first is the one
a model gives.
"""

GREETINGS = """
Good morning
Guten Morgen
Bonjour
Buenos días
Buongiorno
Bom dia

Good night
Gute Nacht
Bonne nuit
Buenas noches
Buonanotte / Buona notte
Boa noite

Thank you very much
Vielen Dank / Danke sehr / Danke schön
Merci beaucoup
Muchas gracias
Grazie mille / Molte grazie
Muito obrigado / Muito obrigada

Happy birthday
Alles Gute zum Geburtstag / Herzlichen Glückwunsch zum Geburtstag
Joyeux anniversaire / Bon anniversaire
Feliz cumpleaños
Buon compleanno
Feliz aniversário / Parabéns

Have a good trip
Gute Reise
Bon voyage
Buen viaje
Buon viaggio
Boa viagem

Enjoy your meal
Guten Appetit
Bon appétit
Buen provecho / Que aproveche
Buon appetito
Bom apetite

Good luck
Viel Glück
Bonne chance
Buena suerte / Suerte
Buona fortuna
Boa sorte

Happy New Year
Frohes neues Jahr / Gutes neues Jahr / Ein frohes neues Jahr
Bonne année
Feliz año nuevo
Felice anno nuovo / Buon anno
Feliz ano novo / Próspero ano novo

Merry Christmas
Frohe Weihnachten / Fröhliche Weihnachten
Joyeux Noël
Feliz Navidad
Buon Natale
Feliz Natal

See you tomorrow
Bis morgen
À demain
Hasta mañana
A domani
Até amanhã
"""

EVERYDAY = """
Where is the train station?
Wo ist der Bahnhof?
Où est la gare? / Où se trouve la gare?
¿Dónde está la estación de tren? / ¿Dónde está la estación?
Dov'è la stazione? / Dov'è la stazione ferroviaria? / Dov'è la stazione dei treni?
Onde fica a estação de trem? / Onde é a estação de trem? / Onde fica a estação de comboios? / Onde fica a estação?

How much does it cost?
Wie viel kostet das? / Wie viel kostet es? / Was kostet das? / Wieviel kostet das?
Combien ça coûte? / Combien cela coûte-t-il? / Combien est-ce que ça coûte? / Ça coûte combien?
¿Cuánto cuesta?
Quanto costa?
Quanto custa? / Quanto custa isso? / Quanto é?

I do not understand
Ich verstehe nicht / Ich verstehe das nicht
Je ne comprends pas
No entiendo / No comprendo
Non capisco
Não entendo / Não compreendo / Eu não entendo

The bill, please
Die Rechnung, bitte / Die Rechnung bitte / Zahlen, bitte
L'addition, s'il vous plaît / L'addition s'il vous plaît
La cuenta, por favor / La cuenta por favor
Il conto, per favore / Il conto per favore
A conta, por favor / A conta por favor

I have a reservation
Ich habe eine Reservierung / Ich habe reserviert
J'ai une réservation / J'ai réservé
Tengo una reserva / Tengo una reservación
Ho una prenotazione / Ho prenotato
Tenho uma reserva / Eu tenho uma reserva

What time is it?
Wie spät ist es? / Wie viel Uhr ist es?
Quelle heure est-il? / Il est quelle heure?
¿Qué hora es?
Che ora è? / Che ore sono?
Que horas são?

I am hungry
Ich habe Hunger / Ich bin hungrig
J'ai faim
Tengo hambre
Ho fame
Estou com fome / Tenho fome / Eu estou com fome

Do you speak English?
Sprechen Sie Englisch? / Sprichst du Englisch?
Parlez-vous anglais? / Vous parlez anglais? / Parles-tu anglais?
¿Habla inglés? / ¿Hablas inglés? / ¿Habla usted inglés?
Parla inglese? / Parli inglese?
Você fala inglês? / Fala inglês?

I need a doctor
Ich brauche einen Arzt
J'ai besoin d'un médecin / J'ai besoin d'un docteur
Necesito un médico / Necesito un doctor
Ho bisogno di un medico / Ho bisogno di un dottore
Preciso de um médico / Eu preciso de um médico

My name is Anna
Ich heiße Anna / Mein Name ist Anna
Je m'appelle Anna / Mon nom est Anna
Me llamo Anna / Mi nombre es Anna
Mi chiamo Anna / Il mio nome è Anna
Meu nome é Anna / O meu nome é Anna / Me chamo Anna / Chamo-me Anna
"""

SAYINGS = """
Better late than never
Besser spät als nie / Lieber spät als nie
Mieux vaut tard que jamais
Más vale tarde que nunca
Meglio tardi che mai
Antes tarde do que nunca / Mais vale tarde do que nunca / Mais vale tarde que nunca

Time is money
Zeit ist Geld
Le temps, c'est de l'argent / Le temps c'est de l'argent
El tiempo es oro / El tiempo es dinero
Il tempo è denaro
Tempo é dinheiro

Love is blind
Liebe macht blind / Die Liebe ist blind / Liebe ist blind
L'amour est aveugle
El amor es ciego
L'amore è cieco
O amor é cego

All roads lead to Rome
Alle Wege führen nach Rom
Tous les chemins mènent à Rome
Todos los caminos llevan a Roma / Todos los caminos conducen a Roma
Tutte le strade portano a Roma / Tutte le strade conducono a Roma
Todos os caminhos levam a Roma / Todos os caminhos vão dar a Roma / Todas as estradas levam a Roma

Silence is golden
Schweigen ist Gold
Le silence est d'or
El silencio es oro
Il silenzio è d'oro
O silêncio é de ouro / O silêncio é ouro

All is well that ends well
Ende gut, alles gut
Tout est bien qui finit bien
Bien está lo que bien acaba / Todo está bien si termina bien
Tutto è bene quel che finisce bene / Tutto è bene ciò che finisce bene
Tudo está bem quando acaba bem / Tudo está bem quando termina bem / Tudo bem quando acaba bem

Once upon a time
Es war einmal
Il était une fois
Érase una vez / Había una vez
C'era una volta
Era uma vez

Eyes are the mirror of the soul
Die Augen sind der Spiegel der Seele / Augen sind der Spiegel der Seele
Les yeux sont le miroir de l'âme
Los ojos son el espejo del alma
Gli occhi sono lo specchio dell'anima
Os olhos são o espelho da alma

The exception proves the rule
Die Ausnahme bestätigt die Regel / Ausnahmen bestätigen die Regel
L'exception confirme la règle
La excepción confirma la regla
L'eccezione conferma la regola
A exceção confirma a regra / A exceção prova a regra

Walls have ears
Die Wände haben Ohren / Wände haben Ohren
Les murs ont des oreilles
Las paredes oyen / Las paredes tienen oídos
I muri hanno orecchie / Anche i muri hanno orecchie / I muri hanno le orecchie
As paredes têm ouvidos
"""
