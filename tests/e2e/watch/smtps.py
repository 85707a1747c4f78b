"""A server of mail that speaks TLS from the first byte on and wants a login. Mails go to /run/mails."""
import base64
import socket
import ssl

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/mail.crt", "/root/mail.key")


def serve(stream, password):
    def say(text):
        stream.write(text.encode() + b"\r\n")
        stream.flush()

    def login(words):
        if not words:
            say("334 ")
            words = [stream.readline().decode().strip()]
        return base64.b64decode(words[0]).decode().split("\0")[1:] == ["hwctl", password]

    say("220 mail.lab ESMTP")
    is_known = False
    for line in stream:
        words = line.decode().split()
        command = words[0].upper()
        if command == "EHLO":
            say("250-mail.lab")
            say("250 AUTH PLAIN")
        elif command == "AUTH":
            is_known = login(words[2:])
            say("235 welcome" if is_known else "535 no")
        elif command == "DATA" and is_known:
            say("354 go on")
            with open("/run/mails", "ab") as mails:
                while (line := stream.readline()) not in (b".\r\n", b""):
                    mails.write(line)
            say("250 taken")
        elif command == "QUIT":
            say("221 bye")
            return
        else:
            say("250 ok" if is_known else "530 log in first")


with open("/root/mail.password") as file:
    password = file.read().strip()
listener = socket.create_server(("127.0.0.1", 4650))
while True:
    connection, _ = listener.accept()
    try:
        serve(context.wrap_socket(connection, server_side=True).makefile("rwb"), password)
    except OSError:
        # A client that does not trust the certificate goes away.
        pass
