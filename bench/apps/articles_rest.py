"""Lists of a Django REST framework on PostgreSQL, one file: `gunicorn bench.apps.articles_rest:wsgi`."""

from __future__ import annotations

import os
from pathlib import Path

import django
import psycopg
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import path

place = psycopg.conninfo.conninfo_to_dict(os.environ["BENCH_DATABASE"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["rest_framework"],
    ROOT_URLCONF=__name__,
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None, "DEFAULT_AUTHENTICATION_CLASSES": []},
    SECRET_KEY=Path(__file__).name,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": place["dbname"],
            "USER": place["user"],
            "HOST": place["host"],
            "PORT": place["port"],
            "CONN_MAX_AGE": None,
        }
    },
)
django.setup()

from rest_framework import generics, serializers  # reads the settings


class Article(models.Model):
    """A row of the benchmark's table."""

    author = models.TextField()
    views = models.IntegerField()
    body = models.TextField()

    class Meta:
        """The table is there."""

        app_label = "bench"
        db_table = "article"
        managed = False


class ArticleSerializer(serializers.ModelSerializer):
    """All that it has, the text in pieces."""

    words = serializers.SerializerMethodField()

    class Meta:
        """What is shown."""

        model = Article
        fields = ("id", "author", "views", "words")

    def get_words(self, article: Article) -> list[str]:
        """Return the first words."""
        return article.body.split()[:50]


class Articles(generics.ListAPIView):
    """The first so many."""

    serializer_class = ArticleSerializer

    def get_queryset(self) -> models.QuerySet[Article]:
        """Return the rows."""
        return Article.objects.order_by("id")[: int(self.request.GET["count"])]


def status(request: HttpRequest) -> HttpResponse:
    """Answer at once."""
    return HttpResponse("ok")


urlpatterns = [path("status", status), path("articles", Articles.as_view())]
wsgi = get_wsgi_application()
