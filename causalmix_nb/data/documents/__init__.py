"""Documents as people have them, read row by row: chats, tables and files of any kind, each counted or refused."""
