"""The floor of the web benchmarks: a bare Flask app that renders a page of 60 lines, and inserts one row on a POST."""

from __future__ import annotations

import os

from flask import Flask, render_template, request
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader

PAGE = (
    "<!DOCTYPE html>\n<html lang='en'><head><title>{{ title }}</title></head><body>\n"
    + "\n".join(f"<p>Line {number} of {{{{ title }}}}</p>" for number in range(58))
    + "\n</body></html>"
)

app = Flask(__name__)
app.jinja_loader = DictLoader({"page.html": PAGE})
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)


class Row(db.Model):  # type: ignore[name-defined]
    __tablename__ = "bare_row"
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(113))


@app.get("/")
def page() -> str:
    return render_template("page.html", title="Bare")


@app.post("/")
def insert() -> str:
    db.session.add(Row(email=request.form["email"]))
    db.session.commit()
    return render_template("page.html", title="Bare")


with app.app_context():
    db.create_all()
